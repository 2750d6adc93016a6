#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "core/h5.h"
#include "core/hash.h"
#include "core/rng.h"
#include "data/corpus.h"
#include "tests/data/toys.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

namespace fs = std::filesystem;

struct Text {
  std::vector<std::int32_t> tokens;
  std::string text;
};

// Documents of random tokens below `vocab`; the second one is empty but for its end of text.
std::vector<Text> random_documents(const std::vector<std::int64_t>& lengths, std::int64_t vocab) {
  const RandomStream stream(1, "documents");
  std::vector<Text> documents;
  std::uint64_t at = 0;
  for (const std::int64_t length : lengths) {
    Text d;
    for (std::int64_t i = 0; i < length; ++i) {
      const auto draw = stream.below(static_cast<std::uint64_t>(vocab), at++);
      d.tokens.push_back(static_cast<std::int32_t>(draw));
      d.text += std::to_string(draw) + " ";
    }
    documents.push_back(d);
  }
  return documents;
}

void write_corpus(const fs::path& path, const std::vector<Text>& documents, std::int64_t vocab) {
  CorpusWriter writer(path, test::toy_tokens(vocab));
  for (const Text& d : documents) {
    writer.begin_document();
    const std::size_t half = d.tokens.size() / 2, middle = d.text.size() / 2;
    writer.append(std::span(d.tokens).first(half), d.text.substr(0, middle));
    writer.append(std::span(d.tokens).subspan(half), d.text.substr(middle));
    writer.end_document();
  }
  writer.finish();
}

void expect_holds(const Corpus& corpus, const std::vector<Text>& documents) {
  ASSERT_EQ(corpus.num_documents(), std::ssize(documents));
  std::int64_t at = 0;
  for (std::size_t d = 0; d < documents.size(); ++d) {
    const Text& want = documents[d];
    EXPECT_EQ(corpus.document_offsets()[d], at);
    EXPECT_EQ(corpus.document_bytes()[d], std::ssize(want.text));
    EXPECT_EQ(static_cast<std::uint64_t>(corpus.document_hashes()[d]),
              xxh3_64(want.text.data(), want.text.size()));
    std::vector<std::int32_t> got(want.tokens.size() + 1, -7);
    corpus.read(at, got);
    EXPECT_EQ(got[0], corpus.tokens().end_of_text);
    EXPECT_EQ(std::vector<std::int32_t>(got.begin() + 1, got.end()), want.tokens);
    at += std::ssize(got);
  }
  EXPECT_EQ(corpus.document_offsets().back(), at);
  EXPECT_EQ(corpus.num_tokens(), at);
}

TEST(Corpus, ReadsBackWhatWasWrittenForSmallAndLargeVocabularies) {
  const test::ScratchFolder folder;
  for (const std::int64_t vocab : {300, 65536, 65537, 200000}) {
    const auto documents = random_documents({10, 0, 1000, 1}, vocab);
    write_corpus(folder / "c.h5", documents, vocab);
    const auto corpus = Corpus::open(folder / "c.h5");
    expect_holds(*corpus, documents);
    EXPECT_EQ(corpus->tokens().vocab_size, vocab);
    EXPECT_EQ(corpus->tokens().tokenizer_json, R"({"toy":"numbers"})");
    EXPECT_EQ(corpus->tokens().tokenizer_name, "numbers");
    EXPECT_EQ(corpus->tokens().num_bytes, test::toy_tokens(vocab).num_bytes);
    EXPECT_EQ(H5File::open(folder / "c.h5").dtype("tokens"),
              vocab <= 65536 ? DType::u16 : DType::i32);
    EXPECT_FALSE(fs::exists(folder / "c.h5.tmp"));
  }
}

TEST(Corpus, ReadsAcrossBlocksAndFromManyThreads) {
  const test::ScratchFolder folder;
  const auto documents = random_documents({700000, 900000}, 300);
  write_corpus(folder / "c.h5", documents, 300);
  const auto corpus = Corpus::open(folder / "c.h5");
  expect_holds(*corpus, documents);
  std::vector<std::vector<std::int32_t>> got(3, std::vector<std::int32_t>(600000));
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < got.size(); ++i) {
    threads.emplace_back([&, i] { corpus->read(static_cast<std::int64_t>(i) + 1, got[i]); });
  }
  for (auto& thread : threads) thread.join();
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_TRUE(std::equal(got[i].begin(), got[i].end(),
                           documents[0].tokens.begin() + static_cast<std::ptrdiff_t>(i)));
  }
  EXPECT_THROW(corpus->read(1600000, got[0]), Error);
}

TEST(Corpus, TheSameContentIsTheSameFile) {
  const test::ScratchFolder folder;
  const auto documents = random_documents({100, 2000}, 300);
  write_corpus(folder / "a.h5", documents, 300);
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // file times count in seconds
  write_corpus(folder / "b.h5", documents, 300);
  EXPECT_EQ(xxh3_file(folder / "a.h5"), xxh3_file(folder / "b.h5"));
  write_corpus(folder / "b.h5", random_documents({100, 1999}, 300), 300);
  EXPECT_NE(Corpus::open(folder / "a.h5")->digest(), Corpus::open(folder / "b.h5")->digest());
}

TEST(Corpus, RefusesWhatIsNoCorpus) {
  const test::ScratchFolder folder;
  const auto open = [&](const char* name) {
    return test::refusal([&] { Corpus::open(folder / name); });
  };
  EXPECT_NE(open("none.h5").find("no such file"), std::string::npos) << open("none.h5");
  test::write_file(folder / "empty.h5", "");
  EXPECT_NE(open("empty.h5").find("empty"), std::string::npos) << open("empty.h5");
  test::write_file(folder / "text.txt", "Some text, not tokens.\n");
  EXPECT_NE(open("text.txt").find("mixspan prepare"), std::string::npos) << open("text.txt");
  {
    H5File file = H5File::create(folder / "other.h5");
    file.write_text("note", "hello");
    file.close();
  }
  EXPECT_NE(open("other.h5").find("no corpus"), std::string::npos) << open("other.h5");
  {
    H5File file = H5File::create(folder / "newer.h5");
    file.set_attribute("format", std::string("mixspan-corpus"));
    file.set_attribute("version", 2);
    file.close();
  }
  EXPECT_NE(open("newer.h5").find("version 2; this program reads version 1"), std::string::npos)
      << open("newer.h5");
}

TEST(Corpus, RefusesATruncatedFileOfAnyLength) {
  const test::ScratchFolder folder;
  write_corpus(folder / "c.h5", random_documents({500, 20, 3000}, 300), 300);
  const std::string whole = test::read_file(folder / "c.h5");
  for (std::size_t part = 0; part < 64; ++part) {
    const std::size_t length = part < 60 ? whole.size() * part / 60 : whole.size() - (part - 59);
    test::write_file(folder / "cut.h5", whole.substr(0, length));
    const std::string said = test::refusal([&] { Corpus::open(folder / "cut.h5"); });
    EXPECT_NE(said.find("cut.h5"), std::string::npos) << "length " << length << ": " << said;
    EXPECT_EQ(said.find('\n'), std::string::npos) << said;
  }
}

TEST(Corpus, NoFlippedBitGoesUnnoticed) {
  const test::ScratchFolder folder;
  const auto documents = random_documents({150, 3, 40}, 300);
  write_corpus(folder / "c.h5", documents, 300);
  const std::uint64_t digest = Corpus::open(folder / "c.h5")->digest();
  const std::string whole = test::read_file(folder / "c.h5");
  int refused = 0;
  for (std::size_t byte = 0; byte < whole.size(); ++byte) {
    std::string damaged = whole;
    damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << (byte % 8)));
    test::write_file(folder / "flipped.h5", damaged);
    try {
      // A bit that nothing reads, such as padding, may flip: then the content must be the same.
      const auto corpus = Corpus::open(folder / "flipped.h5");
      EXPECT_EQ(corpus->digest(), digest) << "byte " << byte;
      expect_holds(*corpus, documents);
    } catch (const InputError& e) {
      ++refused;
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    }
    if (HasFailure()) break;
  }
  EXPECT_GT(refused, static_cast<int>(whole.size() / 4));
}

TEST(CorpusWriter, LeavesWhatIsThereUntilItIsFinished) {
  const test::ScratchFolder folder;
  const auto documents = random_documents({100}, 300);
  write_corpus(folder / "c.h5", documents, 300);
  {
    CorpusWriter writer(folder / "c.h5", test::toy_tokens(300));
    writer.begin_document();
    EXPECT_THROW(writer.append(std::vector<std::int32_t>{1, 300}, "text"), Error);
    EXPECT_THROW(writer.append(std::vector<std::int32_t>{-1}, "text"), Error);
    EXPECT_TRUE(fs::exists(folder / "c.h5.tmp"));
  }
  EXPECT_FALSE(fs::exists(folder / "c.h5.tmp"));
  expect_holds(*Corpus::open(folder / "c.h5"), documents);
  const auto others = random_documents({7, 8}, 300);
  write_corpus(folder / "c.h5", others, 300);
  expect_holds(*Corpus::open(folder / "c.h5"), others);
}

TEST(CorpusWriter, RefusesWhatItCannotOrMustNotReplace) {
  const test::ScratchFolder folder;
  test::write_file(folder / "novel.txt", "A text that took years.\n");
  const auto make = [&](const fs::path& out) {
    return test::refusal([&] { CorpusWriter(out, test::toy_tokens()); });
  };
  EXPECT_NE(make(folder / "novel.txt").find("exists and is no corpus"), std::string::npos);
  EXPECT_EQ(test::read_file(folder / "novel.txt"), "A text that took years.\n");
  EXPECT_NE(make(folder / "nowhere" / "c.h5").find("no folder"), std::string::npos);
  EXPECT_NE(make(folder.path()).find("exists and is no corpus"), std::string::npos);
  const std::string nothing =
      test::refusal([&] { CorpusWriter(folder / "c.h5", test::toy_tokens()).finish(); });
  EXPECT_NE(nothing.find("hold no text"), std::string::npos) << nothing;
  EXPECT_FALSE(fs::exists(folder / "c.h5"));
}

}  // namespace
}  // namespace mixspan
