#include "data/bpe_trainer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "data/tokenizer.h"
#include "tests/data/golden_tokenizer.h"

namespace mixspan::test {

namespace {

TextPieces pieces_of(std::vector<std::string> pieces) {
  return [pieces = std::move(pieces), i = std::size_t{0}](std::string& piece) mutable {
    if (i == pieces.size()) return false;
    piece = pieces[i++];
    return true;
  };
}

std::vector<std::string> merges_of(const std::string& json) {
  std::vector<std::string> lines;
  const auto root = nlohmann::json::parse(json);
  for (const auto& merge : root["model"]["merges"]) {
    lines.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  return lines;
}

}  // namespace

TEST(BpeTrainer, LearnsTheMergesThatHuggingFaceLearns) {
  std::vector<std::string> want;
  std::istringstream lines(read_file(golden_tokenizer() / "small_files/merges.txt"));
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("#version")) want.push_back(line);
  }
  EXPECT_EQ(merges_of(train_bpe(pieces_of({torture()}), 1500)), want);
}

TEST(BpeTrainer, MakesATokenizerThatLoadsAndCompresses) {
  const std::string json = train_bpe(pieces_of({torture()}), 700);
  const auto tokenizer = tokenizer_from_json(json, "trained");
  EXPECT_EQ(tokenizer->vocab_size(), 700);
  EXPECT_EQ(tokenizer->end_of_text(), 256);
  EXPECT_EQ(tokenizer->to_json(), json);
  EXPECT_EQ(tokenizer->encode("a<|endoftext|>")[1], 256);
  const auto ids = tokenizer->encode(torture());
  EXPECT_LT(ids.size() * 4, torture().size() * 3);
  EXPECT_EQ(tokenizer->decode(ids), torture());
}

TEST(BpeTrainer, WordsCountNotTheirOrderNorTheirPieces) {
  const std::string once = train_bpe(pieces_of({"one two three one two three four four"}), 266);
  EXPECT_EQ(train_bpe(pieces_of({"one", " two three", " four four one", " two three"}), 266),
            train_bpe(pieces_of({"one two three four four", "one two three"}), 266));
  EXPECT_EQ(train_bpe(pieces_of({"one two three one two three four four"}), 266), once);
}

TEST(BpeTrainer, TheMostFrequentPairComesFirstAndTiesGoToTheSmallestIds) {
  // Counts: cd 3, ab 2, xy 2; "!" and "~" are the first and last ids of printable bytes.
  EXPECT_EQ(merges_of(train_bpe(pieces_of({"xy\nab\ncd\ncd\nab\nxy\ncd"}), 260)),
            (std::vector<std::string>{"c d", "a b", "x y"}));
  EXPECT_EQ(merges_of(train_bpe(pieces_of({"ac\nab\nbb\nac\nab\nbb"}), 260)),
            (std::vector<std::string>{"a b", "a c", "b b"}));
}

TEST(BpeTrainer, OverlappingPairsMergeFromTheLeft) {
  // aaaaa: "aa" stands 4 times, merges twice; then aa aa a.
  EXPECT_EQ(merges_of(train_bpe(pieces_of({"aaaaa\naaaaa"}), 260)),
            (std::vector<std::string>{"a a", "aa a", "aa aaa"}));
}

TEST(BpeTrainer, OneEndlessWordTakesNoQuadraticTime) {
  std::string text;
  while (text.size() < 400'000) text += "abcab";
  const auto tokenizer = tokenizer_from_json(train_bpe(pieces_of({text}), 265), "trained");
  EXPECT_LT(tokenizer->encode(text).size() * 100, text.size());
}

TEST(BpeTrainer, RefusesWhatCannotBeLearnt) {
  EXPECT_EQ(refusal([] { train_bpe(pieces_of({"text"}), 256); }),
            "a vocabulary of 256 tokens: wanted at least 257, the 256 bytes and the end of text");
  EXPECT_EQ(refusal([] { train_bpe(pieces_of({"abc abd"}), 4096); }),
            "the text has pairs that occur twice for 258 tokens only, not for 4096; ask for that "
            "many, or give more text");
  EXPECT_NE(refusal([] { train_bpe(pieces_of({}), 258); }).find("257 tokens only"),
            std::string::npos);
  // Bytes alone need no text.
  EXPECT_EQ(tokenizer_from_json(train_bpe(pieces_of({}), 257), "trained")->vocab_size(), 257);
}

}  // namespace mixspan::test
