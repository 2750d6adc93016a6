#include "data/tokenizer.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "core/error.h"
#include "tests/data/golden_tokenizer.h"

namespace mixspan::test {

namespace {

using Ids = std::vector<std::int32_t>;

std::vector<std::unique_ptr<Tokenizer>> every_tokenizer() {
  std::vector<std::unique_ptr<Tokenizer>> all;
  all.push_back(load_tokenizer("byte"));
  all.push_back(load_tokenizer(small_spec()));
  all.push_back(load_tokenizer("hf:" + (golden_tokenizer() / "small_files").string()));
  return all;
}

/// Bytes from pools that make broken and whole UTF-8, runs of white space and spelt-out tokens.
std::string hostile_text(std::mt19937_64& rng) {
  static const std::vector<std::string> kPieces = {" ",
                                                   "  ",
                                                   "\n",
                                                   "'s",
                                                   "'",
                                                   "a",
                                                   "Wort",
                                                   "7",
                                                   "\xc3",
                                                   "\xa4",
                                                   "\xe4\xbd",
                                                   "\xa0",
                                                   "\xf0\x9f",
                                                   "\x99\x82",
                                                   "\xed\xa0\x80",
                                                   "\xc0\x80",
                                                   "\xf4\x90\x80\x80",
                                                   "\xff",
                                                   "\xfe",
                                                   "\xe3\x80\x80",
                                                   "<|endoftext|>",
                                                   "<|end",
                                                   "<|sep|>",
                                                   "New York",
                                                   std::string(1, '\0')};
  std::string text;
  const bool any_byte = rng() % 2 == 0;
  for (std::uint64_t n = rng() % 60; n > 0; --n) {
    if (any_byte) {
      text += static_cast<char>(rng() & 0xff);
    } else {
      text += kPieces[rng() % kPieces.size()];
    }
  }
  return text;
}

}  // namespace

TEST(Tokenizer, DecodeGivesArbitraryBytesBack) {
  for (const auto& tokenizer : every_tokenizer()) {
    std::mt19937_64 rng(5);
    for (int i = 0; i < 3000; ++i) {
      const std::string text = hostile_text(rng);
      ASSERT_EQ(tokenizer->decode(tokenizer->encode(text)), text) << tokenizer->name();
      ASSERT_EQ(tokenizer->decode(tokenizer->encode(text, SpecialTokens::as_text)), text);
    }
  }
}

TEST(Tokenizer, BytesAreTheirOwnIds) {
  const auto bytes = make_byte_tokenizer();
  EXPECT_EQ(bytes->encode("a\xff\n"), (Ids{97, 255, 10}));
  EXPECT_EQ(bytes->vocab_size(), 257);
  EXPECT_EQ(bytes->end_of_text(), 256);
  EXPECT_EQ(bytes->encode("x<|endoftext|>"), (Ids{120, 256}));
  EXPECT_EQ(bytes->encode("<|endoftext|>", SpecialTokens::as_text).size(), 13u);
  EXPECT_EQ(bytes->name(), "byte");
}

TEST(Tokenizer, TextThatSpellsTheEndOfTextStaysTextWhenAsked) {
  for (const auto& tokenizer : every_tokenizer()) {
    const std::int32_t end = tokenizer->end_of_text();
    const std::string text = "one<|endoftext|>two<|endoftext|>";
    const Ids recognised = tokenizer->encode(text);
    EXPECT_EQ(std::count(recognised.begin(), recognised.end(), end), 2);
    const Ids as_text = tokenizer->encode(text, SpecialTokens::as_text);
    EXPECT_EQ(std::count(as_text.begin(), as_text.end(), end), 0);
  }
}

TEST(Tokenizer, JsonMakesTheSameTokenizerAgain) {
  for (const auto& tokenizer : every_tokenizer()) {
    const auto again = tokenizer_from_json(tokenizer->to_json(), "a corpus");
    EXPECT_EQ(again->to_json(), tokenizer->to_json());
    EXPECT_EQ(again->name(), tokenizer->name());
    EXPECT_EQ(again->end_of_text(), tokenizer->end_of_text());
    EXPECT_EQ(again->encode(torture()), tokenizer->encode(torture()));
  }
}

TEST(Tokenizer, HuggingFaceFolderGivesTheSameTokens) {
  for (const auto& tokenizer : every_tokenizer()) {
    const ScratchFolder folder;
    write_hf_tokenizer(*tokenizer, folder / "new");
    const auto whole = load_tokenizer("hf:" + (folder / "new").string());
    EXPECT_EQ(whole->vocab_size(), tokenizer->vocab_size());
    EXPECT_EQ(whole->end_of_text(), tokenizer->end_of_text());
    EXPECT_EQ(whole->encode(torture()), tokenizer->encode(torture()));
    if (tokenizer->vocab_size() == 1503) continue;  // vocab.json does not hold its added tokens
    std::filesystem::remove(folder / "new/tokenizer.json");
    const auto files = load_tokenizer("hf:" + (folder / "new").string());
    EXPECT_EQ(files->to_json(), whole->to_json());
  }
}

TEST(Tokenizer, AnIdOutsideTheVocabularyIsAnError) {
  for (const auto& tokenizer : every_tokenizer()) {
    const auto past_end = static_cast<std::int32_t>(tokenizer->vocab_size());
    EXPECT_THROW(tokenizer->decode({{past_end}}), Error);
    EXPECT_THROW(tokenizer->decode({{-1}}), Error);
  }
}

TEST(Tokenizer, ManyThreadsGetTheSameTokens) {
  const auto tokenizer = load_tokenizer(small_spec());
  const std::string text = torture();
  const Ids want = load_tokenizer(small_spec())->encode(text);
  std::vector<Ids> got(4);
  {
    std::vector<std::jthread> threads;
    for (Ids& mine : got) {
      threads.emplace_back([&] {
        for (int i = 0; i < 5; ++i) mine = tokenizer->encode(text);
      });
    }
  }
  for (const Ids& ids : got) EXPECT_EQ(ids, want);
}

TEST(Tokenizer, AWordWithoutEndTakesNoQuadraticTime) {
  const auto tokenizer = load_tokenizer(small_spec());
  std::mt19937_64 rng(9);
  for (const std::string alphabet : {"a", "ab", "etaoin", " ", "\n ", "\xe4\xbd\xa0"}) {
    std::string text;
    while (text.size() < 300'000) text += alphabet[rng() % alphabet.size()];
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text) << alphabet;
  }
}

}  // namespace mixspan::test
