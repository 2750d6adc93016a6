// Token for token what Hugging Face gives (tests/golden/tokenizer/make_golden.py).
#include <gtest/gtest.h>

#include <boost/crc.hpp>
#include <nlohmann/json.hpp>

#include "data/tokenizer.h"
#include "tests/data/golden_tokenizer.h"

namespace mixspan::test {

namespace {

using Ids = std::vector<std::int32_t>;

std::uint32_t crc32(const Ids& ids) {
  boost::crc_32_type crc;
  crc.process_bytes(ids.data(), ids.size() * sizeof(ids[0]));
  return crc.checksum();
}

void append_utf8(std::string& text, std::uint32_t c) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((c >> shift) & 0x3f)); };
  if (c < 0x80) {
    text += static_cast<char>(c);
  } else if (c < 0x800) {
    text += static_cast<char>(0xc0 | (c >> 6));
    tail(0);
  } else if (c < 0x10000) {
    text += static_cast<char>(0xe0 | (c >> 12));
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xf0 | (c >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

/// Every code point after a letter and after a digit: one wrong class changes the tokens.
std::string every_code_point() {
  std::string text;
  for (std::uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xd800 && c <= 0xdfff) continue;
    text += 'a';
    append_utf8(text, c);
    text += '1';
    append_utf8(text, c);
  }
  return text;
}

void expect_golden(const Tokenizer& tokenizer, const std::string& vocabulary) {
  const auto golden = nlohmann::json::parse(read_file(golden_tokenizer() / "expected.json"));
  const auto& want = golden.at(vocabulary);
  const std::string text = torture();
  const Ids ids = tokenizer.encode(text);
  const auto want_ids = want.at("recognise").get<Ids>();
  ASSERT_EQ(ids.size(), want_ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ASSERT_EQ(ids[i], want_ids[i]) << "at token " << i << ", after '"
                                   << tokenizer.decode({ids.data() + (i < 8 ? 0 : i - 8), 8});
  }
  EXPECT_EQ(tokenizer.decode(ids), text);
  const Ids as_text = tokenizer.encode(text, SpecialTokens::as_text);
  EXPECT_EQ(crc32(as_text), want.at("as_text_crc32").get<std::uint32_t>());
  EXPECT_EQ(tokenizer.decode(as_text), text);
  const auto texts = golden.at("case_texts").get<std::vector<std::string>>();
  ASSERT_GT(texts.size(), 300u);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokenizer.encode(texts[i]), want.at("cases")[i].get<Ids>()) << "'" << texts[i] << "'";
  }
  EXPECT_EQ(crc32(tokenizer.encode(every_code_point())),
            want.at("every_code_point_crc32").get<std::uint32_t>());
}

}  // namespace

TEST(TokenizerGolden, SmallVocabularyIsTokenForTokenAsHuggingFace) {
  expect_golden(*load_tokenizer(small_spec()), "small");
}

TEST(TokenizerGolden, Gpt2VocabularyIsTokenForTokenAsHuggingFace) {
  if (!std::filesystem::exists(gpt2_folder() / "encoder.json")) {
    GTEST_SKIP() << "GPT-2's encoder.json and vocab.bpe are not in " << gpt2_folder()
                 << "; MIXSPAN_GPT2_VOCAB names another folder";
  }
  const auto tokenizer = load_tokenizer("hf:" + gpt2_folder().string());
  EXPECT_EQ(tokenizer->vocab_size(), 50257);
  EXPECT_EQ(tokenizer->end_of_text(), 50256);
  EXPECT_EQ(tokenizer->name(), "bpe:50257");
  EXPECT_EQ(tokenizer->encode("Hello world"), (Ids{15496, 995}));
  expect_golden(*tokenizer, "gpt2");
}

TEST(TokenizerGolden, VocabAndMergesFilesGiveTheSameTokensAsTheJson) {
  const auto whole = load_tokenizer(small_spec());
  const auto files = load_tokenizer("hf:" + (golden_tokenizer() / "small_files").string());
  EXPECT_EQ(files->vocab_size(), 1500);
  EXPECT_EQ(whole->vocab_size(), 1503);
  EXPECT_EQ(files->end_of_text(), whole->end_of_text());
  const std::string text = torture().substr(0, 6000);  // before the tokens that only one has
  EXPECT_EQ(files->encode(text), whole->encode(text));
  EXPECT_EQ(files->encode("a<|endoftext|>b"), whole->encode("a<|endoftext|>b"));
}

}  // namespace mixspan::test
