#include "data/prepare.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/hash.h"
#include "core/rng.h"
#include "data/text_cuts.h"
#include "tests/data/golden_tokenizer.h"
#include "tests/data/toys.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

namespace fs = std::filesystem;

std::string random_text(std::uint64_t seed, std::size_t bytes) {
  const RandomStream stream(seed, "text");
  std::string text;
  for (std::uint64_t i = 0; text.size() < bytes; ++i) text += "abcd  \n."[stream.below(8, i)];
  return text;
}

TEST(Prepare, TokensOfLongDocumentsAreThoseOfTheWhole) {
  const test::ScratchFolder folder;
  const std::vector<std::string> texts{"short one", random_text(1, 5 << 20), "another",
                                       random_text(2, 100)};
  for (std::size_t i = 0; i < texts.size(); ++i) {
    test::write_file(folder / (std::to_string(i) + ".txt"), texts[i]);
  }
  const test::ScratchFolder out;
  const test::WordToy tokenizer;
  ThreadPool threads(3);
  double last_fraction = 0;
  const PrepareSummary summary =
      prepare({folder.path()}, out / "c.h5", tokenizer, threads, [&](const PrepareProgress& p) {
        EXPECT_GE(p.fraction, last_fraction);
        last_fraction = p.fraction;
      });
  EXPECT_EQ(last_fraction, 1);

  const auto corpus = Corpus::open(out / "c.h5");
  ASSERT_EQ(corpus->num_documents(), std::ssize(texts));
  std::int64_t tokens = 0, bytes = 0;
  for (std::size_t d = 0; d < texts.size(); ++d) {
    auto want = tokenizer.encode(texts[d], SpecialTokens::as_text);
    tokens += std::ssize(want);
    bytes += std::ssize(texts[d]);
    want.insert(want.begin(), tokenizer.end_of_text());
    const std::int64_t at = corpus->document_offsets()[d];
    std::vector<std::int32_t> got(static_cast<std::size_t>(corpus->document_offsets()[d + 1] - at));
    corpus->read(at, got);
    EXPECT_TRUE(got == want) << "document " << d;
    EXPECT_EQ(corpus->document_bytes()[d], std::ssize(texts[d]));
    EXPECT_EQ(static_cast<std::uint64_t>(corpus->document_hashes()[d]),
              xxh3_64(texts[d].data(), texts[d].size()));
  }
  EXPECT_EQ(summary.documents, 4);
  EXPECT_EQ(summary.tokens, tokens);
  EXPECT_EQ(summary.bytes, bytes);
  EXPECT_EQ(summary.text.files, 4);
  EXPECT_EQ(corpus->tokens().tokenizer_json, tokenizer.to_json());
  EXPECT_EQ(corpus->tokens().num_bytes[5], 1);
  EXPECT_EQ(corpus->tokens().num_bytes.back(), 0);  // the end of text is no text
}

// Every safe place of `text`, looked at in a window of some hundred bytes around it.
void expect_cuts_change_no_token(const Tokenizer& tokenizer, std::string_view text, int& cuts) {
  for (std::size_t p = 1; p < text.size(); ++p) {
    const std::size_t begin = p - std::min<std::size_t>(p, 150);
    const std::string_view before = text.substr(begin, p - begin);
    if (last_safe_cut(text.substr(begin, p - begin + 1), p - begin) == std::string_view::npos) {
      continue;
    }
    ++cuts;
    const auto whole = tokenizer.encode(text.substr(begin, 300), SpecialTokens::as_text);
    auto parts = tokenizer.encode(before, SpecialTokens::as_text);
    const auto rest = tokenizer.encode(text.substr(p, 300 - before.size()), SpecialTokens::as_text);
    parts.insert(parts.end(), rest.begin(), rest.end());
    ASSERT_EQ(parts, whole) << "cut at byte " << p;
  }
}

// The repository's small vocabulary but for its added token "New York".
std::unique_ptr<Tokenizer> tokenizer_without_spaced_tokens() {
  const auto path = test::golden_tokenizer() / "small/tokenizer.json";
  auto json = nlohmann::json::parse(test::read_file(path));
  auto& added = json["added_tokens"];
  added.erase(std::remove_if(added.begin(), added.end(),
                             [](const auto& t) { return t["content"] == "New York"; }),
              added.end());
  return tokenizer_from_json(json.dump(), path.string());
}

TEST(Prepare, ASafeCutChangesNoToken) {
  const auto tokenizer = tokenizer_without_spaced_tokens();
  ASSERT_TRUE(tokenizer->encodes_in_parts());
  int cuts = 0;
  expect_cuts_change_no_token(*tokenizer, test::torture(), cuts);
  EXPECT_GT(cuts, 300);
  const std::vector<std::string> pieces{" ",
                                        " ",
                                        "\n",
                                        "\t",
                                        "\r\n",
                                        "a",
                                        "the",
                                        "Z",
                                        "'s",
                                        "'",
                                        "ll",
                                        "12",
                                        "!",
                                        "\xc3\xa9",
                                        "\xc2\xa0",
                                        "\xe3\x80\x80",
                                        "\xe2\x80\x83",
                                        "\xc2\x85",
                                        "\x1c",
                                        "\xff",
                                        "\xe4\xb8\xad",
                                        "\xf0\x9f\x98\x80",
                                        "\xcc\x81",
                                        std::string(1, '\0')};
  const RandomStream stream(5, "pieces");
  std::string text;
  for (std::uint64_t i = 0; i < 20000; ++i) text += pieces[stream.below(pieces.size(), i)];
  cuts = 0;
  expect_cuts_change_no_token(*tokenizer, text, cuts);
  EXPECT_GT(cuts, 1000);
}

TEST(Prepare, ATokenSpeltWithASpaceIsNotCut) {
  const auto tokenizer = load_tokenizer(test::small_spec());
  EXPECT_FALSE(tokenizer->encodes_in_parts());
  EXPECT_TRUE(make_byte_tokenizer()->encodes_in_parts());
  const test::ScratchFolder folder;
  std::string text;
  while (text.size() < 3 * TextSource::kPartBytes) text += "New York";
  test::write_file(folder / "york.txt", text);
  ThreadPool threads(2);
  prepare({folder / "york.txt"}, folder / "c.h5", *tokenizer, threads);
  const auto corpus = Corpus::open(folder / "c.h5");
  std::vector<std::int32_t> got(static_cast<std::size_t>(corpus->num_tokens() - 1));
  corpus->read(1, got);
  EXPECT_TRUE(got == tokenizer->encode(text, SpecialTokens::as_text));
}

TEST(Prepare, AnyNumberOfThreadsWritesTheSameFile) {
  const test::ScratchFolder folder;
  for (std::uint64_t i = 0; i < 40; ++i) {
    test::write_file(folder / (std::to_string(i) + ".txt"), random_text(i, 1000 * (i + 1)));
  }
  test::write_file(folder / "long.txt", random_text(99, 3 << 20));
  const test::ScratchFolder out;
  for (const int n : {1, 4}) {
    ThreadPool threads(n);
    prepare({folder.path()}, out / (std::to_string(n) + ".h5"), test::ByteToy(), threads);
  }
  EXPECT_EQ(xxh3_file(out / "1.h5"), xxh3_file(out / "4.h5"));
}

TEST(Prepare, LeavesTheCorpusThatIsThereWhenItFails) {
  const test::ScratchFolder folder;
  test::write_file(folder / "good.txt", random_text(1, 1000));
  test::write_file(folder / "bad.jsonl", "{\"text\":\"one\"}\n{\"text\":\n");
  ThreadPool threads(2);
  prepare({folder / "good.txt"}, folder / "c.h5", test::ByteToy(), threads);
  const std::uint64_t digest = xxh3_file(folder / "c.h5");
  const std::string said = test::refusal([&] {
    prepare({folder / "good.txt", folder / "bad.jsonl"}, folder / "c.h5", test::ByteToy(), threads);
  });
  EXPECT_NE(said.find("bad.jsonl:2: "), std::string::npos) << said;
  EXPECT_EQ(xxh3_file(folder / "c.h5"), digest);
  EXPECT_FALSE(fs::exists(folder / "c.h5.tmp"));
}

TEST(Prepare, RefusesInputsWithoutText) {
  const test::ScratchFolder folder;
  test::write_file(folder / "empty.txt", "");
  ThreadPool threads(1);
  const std::string said = test::refusal(
      [&] { prepare({folder / "empty.txt"}, folder / "c.h5", test::ByteToy(), threads); });
  EXPECT_NE(said.find("no text"), std::string::npos) << said;
  EXPECT_FALSE(fs::exists(folder / "c.h5"));
}

TEST(Prepare, AFolderMayHoldTheCorpusMadeFromIt) {
  const test::ScratchFolder folder;
  test::write_file(folder / "a.txt", "some text");
  ThreadPool threads(1);
  prepare({folder.path()}, folder / "c.h5", test::ByteToy(), threads);
  const std::uint64_t digest = Corpus::open(folder / "c.h5")->digest();
  const PrepareSummary again = prepare({folder.path()}, folder / "c.h5", test::ByteToy(), threads);
  EXPECT_EQ(again.text.binary_files, 1);
  EXPECT_EQ(Corpus::open(folder / "c.h5")->digest(), digest);
}

}  // namespace
}  // namespace mixspan
