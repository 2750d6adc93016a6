// GCC 12 sees overlapping copies in Boost's gzip header writer where there are none.
#pragma GCC diagnostic ignored "-Wrestrict"

#include <gtest/gtest.h>

#include <boost/iostreams/filter/gzip.hpp>
#include <boost/iostreams/filtering_stream.hpp>
#include <filesystem>
#include <sstream>

#include "core/error.h"
#include "core/rng.h"
#include "core/text.h"
#include "data/text_cuts.h"
#include "data/text_source.h"
#include "tests/data/toys.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

namespace fs = std::filesystem;

std::string gzipped(const std::string& text) {
  std::ostringstream out;
  boost::iostreams::filtering_ostream packer;
  packer.push(boost::iostreams::gzip_compressor());
  packer.push(out);
  packer << text;
  packer.reset();
  return out.str();
}

// All documents, each put together from its parts.
std::vector<std::string> documents_of(const std::vector<fs::path>& inputs,
                                      TextCounts* counts = nullptr) {
  TextSource source(inputs);
  std::vector<std::string> documents;
  bool inside = false;
  for (TextPart part; source.next(part);) {
    EXPECT_EQ(part.first, !inside);
    EXPECT_FALSE(part.text.empty());
    if (part.first) documents.emplace_back();
    documents.back() += part.text;
    inside = !part.last;
  }
  EXPECT_FALSE(inside);
  EXPECT_EQ(source.bytes_read(), source.input_bytes());
  if (counts != nullptr) *counts = source.counts();
  return documents;
}

using Documents = std::vector<std::string>;

TEST(TextSource, ReadsFilesInTheOrderGivenAndFoldersSorted) {
  const test::ScratchFolder folder;
  fs::create_directories(folder / "b/deep");
  fs::create_directories(folder / "b/.git");
  test::write_file(folder / "z.txt", "named first");
  test::write_file(folder / "b/2.md", "two\n");
  test::write_file(folder / "b/10.txt", "ten");
  test::write_file(folder / "b/deep/3.txt.gz", gzipped("three, packed"));
  test::write_file(folder / "b/lines.jsonl",
                   "{\"text\":\"l1\"}\n\n{\"id\":7,\"text\":\"l\\u00e9\"}");
  test::write_file(folder / "b/more.jsonl.gz", gzipped("{\"text\":\"packed line\"}\r\n"));
  test::write_file(folder / "b/.hidden", "not read");
  test::write_file(folder / "b/.git/config", "not read");
  test::write_file(folder / "b/picture.png", std::string("\x89PNG\0\0", 6));
  test::write_file(folder / "b/nothing.txt", "");
  TextCounts counts;
  EXPECT_EQ(documents_of({folder / "z.txt", folder / "b"}, &counts),
            (Documents{"named first", "ten", "two\n", "three, packed", "l1", "l\xc3\xa9",
                       "packed line"}));
  EXPECT_EQ(counts.files, 7);
  EXPECT_EQ(counts.binary_files, 1);
  EXPECT_EQ(counts.empty_documents, 1);
  EXPECT_EQ(counts.broken_utf8, 0);
  EXPECT_EQ(counts.cut_words, 0);
}

TEST(TextSource, CutsLongDocumentsOnlyWhereNoTokenCanLie) {
  const test::ScratchFolder folder;
  const RandomStream stream(3, "text");
  const std::vector<std::string> alphabet{"a", "b", ".", "\n", " ", "\t", " ", "\xe3\x80\x80"};
  std::string text;
  for (std::uint64_t i = 0; text.size() < 3 * TextSource::kPartBytes; ++i) {
    text += alphabet[stream.below(8, i)];  // the last is U+3000, a white space
  }
  test::write_file(folder / "long.txt", text);
  test::write_file(folder / "long.jsonl", "{\"text\":\"a b\"}\n");
  TextSource source({folder / "long.txt"});
  std::string together;
  std::vector<std::int32_t> ids;
  int parts = 0;
  for (TextPart part; source.next(part); ++parts) {
    ASSERT_LE(part.text.size(), TextSource::kPartBytes);
    if (!together.empty()) {
      EXPECT_TRUE(std::isspace(static_cast<unsigned char>(part.text[0])));
      EXPECT_FALSE(std::isspace(static_cast<unsigned char>(together.back())));
      EXPECT_FALSE(together.ends_with("\xe3\x80\x80"));
    }
    const auto more = test::WordToy().encode(part.text, SpecialTokens::as_text);
    ids.insert(ids.end(), more.begin(), more.end());
    together += part.text;
  }
  EXPECT_GE(parts, 3);
  EXPECT_EQ(together, text);
  EXPECT_EQ(ids, test::WordToy().encode(text, SpecialTokens::as_text));
}

TEST(TextSource, HoldsOnlySoMuchOfATextWithoutWhiteSpace) {
  const test::ScratchFolder folder;
  const std::string three = "x\xc3\xa9";
  std::string text;
  while (text.size() < TextSource::kLongestWord + 5 * TextSource::kPartBytes) text += three;
  test::write_file(folder / "wall.txt", text + " end");
  TextSource source({folder / "wall.txt"});
  std::string together;
  for (TextPart part; source.next(part);) {
    EXPECT_LE(part.text.size(), TextSource::kLongestWord);
    EXPECT_TRUE(is_utf8(part.text));
    together += part.text;
  }
  EXPECT_EQ(together, text + " end");
  EXPECT_EQ(source.counts().cut_words, 1);
  EXPECT_EQ(source.counts().broken_utf8, 0);
}

TEST(TextSource, KeepsBytesThatAreNoUtf8AndCountsTheirDocuments) {
  const test::ScratchFolder folder;
  const std::string latin1 = "caf\xe9 cr\xe8me";
  test::write_file(folder / "a.txt", latin1);
  test::write_file(folder / "b.txt", "caf\xc3\xa9");
  TextCounts counts;
  EXPECT_EQ(documents_of({folder.path()}, &counts), (Documents{latin1, "caf\xc3\xa9"}));
  EXPECT_EQ(counts.broken_utf8, 1);
}

TEST(TextSource, RefusesDamagedGzip) {
  const test::ScratchFolder folder;
  const RandomStream stream(4, "gz");
  std::string text;
  for (std::uint64_t i = 0; i < 20000; ++i) text += static_cast<char>('a' + stream.below(26, i));
  const std::string packed = gzipped(text);
  const auto read = [&](const std::string& content) {
    test::write_file(folder / "a.txt.gz", content);
    return test::refusal([&] { documents_of({folder / "a.txt.gz"}); });
  };
  for (std::size_t part = 0; part < 20; ++part) {
    const std::string said = read(packed.substr(0, packed.size() * part / 20));
    EXPECT_NE(said.find("a.txt.gz: "), std::string::npos) << "part " << part << ": " << said;
  }
  for (std::size_t cut = 1; cut <= 9; ++cut) {
    const std::string said = read(packed.substr(0, packed.size() - cut));
    EXPECT_NE(said.find("gzip"), std::string::npos) << "without the last " << cut << ": " << said;
  }
  std::string flipped = packed;
  flipped[packed.size() / 2] = static_cast<char>(flipped[packed.size() / 2] ^ 4);
  EXPECT_NE(read(flipped).find("gzip"), std::string::npos);
  EXPECT_NE(read("plain text, whatever its name").find("gzip"), std::string::npos);
  test::write_file(folder / "a.txt.gz", packed + gzipped(" and more"));
  EXPECT_EQ(documents_of({folder / "a.txt.gz"}), Documents{text + " and more"});
}

TEST(TextSource, NamesFileAndLineOfBadJson) {
  const test::ScratchFolder folder;
  const auto read = [&](const std::string& line) {
    test::write_file(folder / "a.jsonl", fmt::format("{{\"text\":\"fine\"}}\n{}\n", line));
    return test::refusal([&] { documents_of({folder / "a.jsonl"}); });
  };
  const std::vector<std::pair<std::string, std::string>> cases{
      {"{\"text\": ", "no valid JSON"},
      {"{\"text\":\"\xff\"}", "no valid JSON"},
      {"{\"text\":\"\\ud800\"}", "no valid JSON"},
      {"[\"text\"]", "wanted a JSON object"},
      {"{\"Text\":\"x\"}", "no key \"text\""},
      {"{\"text\":[1]}", "wanted a string"},
      {"{\"text\":null}", "wanted a string"},
      {"{\"text\":\"x\"} trailing", "no valid JSON"}};
  for (const auto& [line, wanted] : cases) {
    const std::string said = read(line);
    EXPECT_NE(said.find("a.jsonl:2: "), std::string::npos) << said;
    EXPECT_NE(said.find(wanted), std::string::npos) << said;
    EXPECT_EQ(said.find('\n'), std::string::npos) << said;
  }
}

TEST(TextSource, RefusesNamedInputsItCannotUse) {
  const test::ScratchFolder folder;
  const auto read = [&](const fs::path& path) {
    return test::refusal([&] { documents_of({path}); });
  };
  EXPECT_NE(read(folder / "none.txt").find("no such file or folder"), std::string::npos);
  test::write_file(folder / "utf16.txt", std::string("h\0i\0", 4));
  EXPECT_NE(read(folder / "utf16.txt").find("UTF-16"), std::string::npos);
  fs::create_directory(folder / "empty");
  EXPECT_NE(read(folder / "empty").find("holds no file"), std::string::npos);
  EXPECT_NE(read("/dev/null").find("neither a file nor a folder"), std::string::npos);
}

TEST(Utf8, KnowsWellFormedText) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("plain ascii, longer than eight bytes"));
  EXPECT_TRUE(is_utf8("\xf0\x9f\x98\x80 \xe2\x82\xac \xc3\xa9 12345678"));
  for (const char* bad : {"\xff", "12345678\x80", "\xc3", "\xe2\x82", "\xc0\x80", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "1234567\xc3 x"}) {
    EXPECT_FALSE(is_utf8(bad)) << bad;
  }
}

TEST(Utf8, CutsBehindWholeCharacters) {
  EXPECT_EQ(last_character_cut("ab"), 2u);
  EXPECT_EQ(last_character_cut("a\xc3\xa9"), 3u);
  EXPECT_EQ(last_character_cut("a\xc3"), 1u);
  EXPECT_EQ(last_character_cut("a\xf0\x9f\x98"), 1u);
  EXPECT_EQ(last_character_cut("\x80\x80\x80\x80\x80"), 5u);
  EXPECT_EQ(last_safe_cut("ab cd", 0), 2u);
  EXPECT_EQ(last_safe_cut("ab  cd", 0), 2u);
  EXPECT_EQ(last_safe_cut("ab cd ", 3), 5u);
  EXPECT_EQ(last_safe_cut("ab cd", 3), std::string_view::npos);
  EXPECT_EQ(last_safe_cut(" abcd", 0), std::string_view::npos);
  EXPECT_EQ(last_safe_cut("\xc3\xa9 x", 0), 2u);
  EXPECT_EQ(last_safe_cut("\xe3\x80\x80 x", 0), std::string_view::npos);  // behind U+3000
  EXPECT_EQ(last_safe_cut("\xc2\xa0 x", 0), std::string_view::npos);      // behind U+00A0
  EXPECT_EQ(last_safe_cut("\x80 x", 0), std::string_view::npos);          // behind no character
}

}  // namespace
}  // namespace mixspan
