#include "data/loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "data/corpus.h"
#include "data/split.h"
#include "tests/data/batches.h"
#include "tests/data/toys.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t T = 32;

// 40 documents of 1 to 157 tokens, 3160 in all: token values count from 1, see toys.h.
std::vector<std::int64_t> lengths() {
  std::vector<std::int64_t> all;
  for (std::int64_t d = 0; d < 40; ++d) all.push_back(1 + d * 73 % 40 * 4);
  return all;
}

struct LoaderTest : testing::Test {
  LoaderTest() {
    path = folder / "c.h5";
    test::write_numbered_corpus(path, lengths());
    config.train = path.string();
    config.eval_fraction = 0.2;
    for (std::size_t d = 0; d < lengths().size(); ++d) {
      document_of.insert(document_of.end(), static_cast<std::size_t>(lengths()[d]), d);
    }
  }
  std::set<std::size_t> held_out_documents() const {
    const auto evaluation = open_evaluation(config, T);
    std::set<std::size_t> documents;
    for (const auto& row : test::rows_of(evaluation->rows(0, evaluation->num_rows()).tokens)) {
      for (const std::int32_t token : row) {
        if (token != 0) documents.insert(document_of[static_cast<std::size_t>(token)]);
      }
    }
    return documents;
  }
  // The training documents as one sequence, each behind an end of text.
  std::vector<std::int32_t> ring() const {
    const auto held_out = held_out_documents();
    std::vector<std::int32_t> all;
    std::int32_t next = 1;
    for (std::size_t d = 0; d < lengths().size(); ++d) {
      const auto end = next + static_cast<std::int32_t>(lengths()[d]);
      if (!held_out.contains(d)) all.push_back(0);
      for (; next < end; ++next) {
        if (!held_out.contains(d)) all.push_back(next);
      }
    }
    return all;
  }

  test::ScratchFolder folder;
  fs::path path;
  DataConfig config;
  std::vector<std::size_t> document_of{0};  // of each token value; value 0 is the end of text
};

TEST_F(LoaderTest, RowsArePureFunctionsOfSeedAndIndex) {
  for (const bool isolate : {false, true}) {
    config.isolate_documents = isolate;
    test::expect_rows_are_pure(*open_training(config, T, 1), *open_training(config, T, 1));
    test::expect_rows_are_pure(*open_evaluation(config, T), *open_evaluation(config, T));
  }
  EXPECT_NE(test::tokens_of(open_training(config, T, 1)->rows(0, 1)),
            test::tokens_of(open_training(config, T, 2)->rows(0, 1)));
}

TEST_F(LoaderTest, AnEpochVisitsTheRingOnceInItsOwnOrder) {
  const auto source = open_training(config, T, 1);
  const auto whole = ring();
  const std::int64_t N = std::ssize(whole), rows = N / T;
  ASSERT_GT(rows, 20);
  std::vector<std::int64_t> cuts;
  std::vector<std::vector<std::int64_t>> orders;
  for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
    const Batch batch = source->rows(epoch * rows, rows);
    EXPECT_EQ(batch.num_targets, rows * T);
    std::vector<std::int64_t> starts;
    for (std::int64_t b = 0; b < rows; ++b) {
      const auto tokens = test::row_of(batch.tokens, b), targets = test::row_of(batch.targets, b);
      // Ends of text look alike; the first other token says where the row stands.
      const auto other = std::find_if(tokens.begin(), tokens.end(), [](auto t) { return t != 0; });
      const auto place = std::find(whole.begin(), whole.end(), *other) - whole.begin();
      const std::int64_t start = (place - (other - tokens.begin()) + N) % N;
      for (std::int64_t t = 0; t < T; ++t) {
        ASSERT_EQ(tokens[static_cast<std::size_t>(t)],
                  whole[static_cast<std::size_t>((start + t) % N)]);
        ASSERT_EQ(targets[static_cast<std::size_t>(t)],
                  whole[static_cast<std::size_t>((start + t + 1) % N)]);
      }
      starts.push_back(start);
    }
    // Rows that do not overlap: their starts are T apart around the ring, but for one gap.
    std::vector<std::int64_t> sorted = starts;
    std::sort(sorted.begin(), sorted.end());
    int gaps = 0;
    for (std::size_t i = 0; i < sorted.size(); ++i) {
      const std::int64_t next = i + 1 < sorted.size() ? sorted[i + 1] : sorted[0] + N;
      ASSERT_GE(next - sorted[i], T);
      if (next - sorted[i] != T) {
        ++gaps;
        cuts.push_back(next % N);
      }
    }
    EXPECT_LE(gaps, 1);
    EXPECT_FALSE(std::is_sorted(starts.begin(), starts.end()));
    orders.push_back(starts);
  }
  EXPECT_NE(cuts[0], cuts[1]);
  EXPECT_NE(cuts[1], cuts[2]);
  EXPECT_NE(orders[0], orders[1]);
}

TEST_F(LoaderTest, NoTrainingRowHoldsATokenOfAHeldOutDocument) {
  const auto held_out = held_out_documents();
  EXPECT_GE(held_out.size(), 2u);
  EXPECT_LE(held_out.size(), 20u);
  const auto source = open_training(config, T, 7);
  const Batch batch = source->rows(0, 1000);
  std::set<std::size_t> trained;
  for (const Tensor* tensor : {&batch.tokens, &batch.targets}) {
    for (const auto& row : test::rows_of(*tensor)) {
      for (const std::int32_t token : row) {
        if (token != 0) trained.insert(document_of[static_cast<std::size_t>(token)]);
      }
    }
  }
  for (const std::size_t d : held_out) EXPECT_FALSE(trained.contains(d)) << "document " << d;
  EXPECT_EQ(trained.size() + held_out.size(), lengths().size());
}

TEST_F(LoaderTest, EvaluationAsksForEachHeldOutTokenOnce) {
  for (const std::int64_t length : {1, 7, 32, 10000}) {
    const auto source = open_evaluation(config, length);
    const Batch batch = source->rows(0, source->num_rows());
    std::map<std::int32_t, int> asked;
    std::int64_t targets = 0;
    for (std::int64_t b = 0; b < source->num_rows(); ++b) {
      const auto row = test::row_of(batch.tokens, b), wanted = test::row_of(batch.targets, b);
      for (std::size_t t = 0; t < row.size(); ++t) {
        if (wanted[t] == kIgnoreTarget) continue;
        ++targets;
        ++asked[wanted[t]];
        if (t + 1 < row.size() && wanted[t + 1] != kIgnoreTarget) {
          EXPECT_EQ(wanted[t], row[t + 1]);
        }
      }
    }
    EXPECT_EQ(batch.num_targets, targets);
    std::int64_t tokens = 0;
    const auto held_out = held_out_documents();
    for (std::int32_t value = 1; value < std::ssize(document_of); ++value) {
      const bool expected = held_out.contains(document_of[static_cast<std::size_t>(value)]);
      EXPECT_EQ(asked.contains(value) ? asked.at(value) : 0, expected ? 1 : 0) << value;
      tokens += expected ? 1 : 0;
    }
    EXPECT_EQ(asked.at(0), std::ssize(held_out));  // the end of each document
    EXPECT_EQ(targets, tokens + std::ssize(held_out));
    // Each token of the toy stands for one byte.
    EXPECT_EQ(source->text_bytes(0, source->num_rows()), tokens);
    EXPECT_LT(targets, source->num_rows() * length + 1);
    EXPECT_GT(targets, (source->num_rows() - 1) * length);
  }
}

TEST_F(LoaderTest, FewerEvaluationRowsAreSpreadOverAll) {
  const auto all = open_evaluation(config, T);
  const auto some = open_evaluation(config, T, 3);
  ASSERT_GT(all->num_rows(), 6);
  ASSERT_EQ(some->num_rows(), 3);
  const auto whole = test::rows_of(all->rows(0, all->num_rows()).tokens);
  std::vector<std::ptrdiff_t> places;
  for (const auto& row : test::rows_of(some->rows(0, 3).tokens)) {
    places.push_back(std::find(whole.begin(), whole.end(), row) - whole.begin());
  }
  EXPECT_EQ(places[0], 0);
  EXPECT_GT(places[1], 1);
  EXPECT_GT(places[2], places[1] + 1);
  EXPECT_LT(places[2], all->num_rows());
  EXPECT_EQ(open_evaluation(config, T, 100000)->num_rows(), all->num_rows());
  EXPECT_NE(all->digest(), some->digest());
}

TEST_F(LoaderTest, DocumentStartsAndPositionsFollowTheDocuments) {
  config.isolate_documents = true;
  const Batch batch = open_training(config, T, 1)->rows(0, 60);
  config.isolate_documents = false;
  const Batch packed = open_training(config, T, 1)->rows(0, 60);
  EXPECT_EQ(test::rows_of(batch.tokens), test::rows_of(packed.tokens));
  EXPECT_TRUE(packed.document_start.view().empty());
  int several = 0;
  for (std::int64_t b = 0; b < 60; ++b) {
    const auto tokens = test::row_of(batch.tokens, b);
    const auto starts = test::row_of(batch.document_start, b);
    const auto positions = test::row_of(batch.positions, b);
    for (std::int32_t t = 0; t < T; ++t) {
      const auto at = static_cast<std::size_t>(t);
      std::int32_t start = t;
      while (start > 0 && tokens[static_cast<std::size_t>(start)] != 0) --start;
      EXPECT_EQ(starts[at], start);
      EXPECT_EQ(positions[at], t - start);
      EXPECT_EQ(test::row_of(packed.positions, b)[at], t);
    }
    several += starts.back() > 0 ? 1 : 0;
  }
  EXPECT_GT(several, 5);
}

TEST_F(LoaderTest, TheSplitFollowsTheTextAndNotItsPlace) {
  const std::vector<std::string> texts{"one", "two", "three", "four", "five", "six", "seven"};
  const auto held_out_texts = [&](std::vector<std::string> order) {
    {
      CorpusWriter writer(folder / "split.h5", test::toy_tokens());
      for (const std::string& text : order) {
        writer.begin_document();
        writer.append(std::vector<std::int32_t>(text.size(), 1), text);
        writer.end_document();
      }
      writer.finish();
    }
    const auto corpus = Corpus::open(folder / "split.h5");
    const CorpusSplit split = split_corpus(*corpus, 0.3);
    std::multiset<std::string> held_out;
    std::int64_t tokens = 0;
    for (std::size_t d = 0; d < order.size(); ++d) {
      const std::int64_t at = corpus->document_offsets()[d];
      for (const TokenRange& range : split.held_out) {
        if (range.begin <= at && at < range.end) held_out.insert(order[d]);
      }
    }
    for (const auto* side : {&split.held_out, &split.training}) {
      for (const TokenRange& range : *side) tokens += range.end - range.begin;
    }
    EXPECT_EQ(tokens, corpus->num_tokens());
    EXPECT_EQ(split.held_out_documents, std::ssize(held_out));
    return held_out;
  };
  const auto held_out = held_out_texts(texts);
  EXPECT_GE(held_out.size(), 1u);
  EXPECT_LT(held_out.size(), texts.size());
  EXPECT_EQ(held_out_texts({texts.rbegin(), texts.rend()}), held_out);
  // Twice the same text: both or none.
  std::vector<std::string> twice = texts;
  twice.insert(twice.end(), texts.begin(), texts.end());
  const auto both = held_out_texts(twice);
  for (const std::string& text : held_out) EXPECT_EQ(both.count(text), 2u) << text;
  EXPECT_EQ(both.size(), 2 * held_out.size());
}

TEST_F(LoaderTest, ASmallFractionHoldsOutAtLeastOneDocument) {
  config.eval_fraction = 1e-9;
  EXPECT_EQ(held_out_documents().size(), 1u);
  config.eval_fraction = 0.999999;
  EXPECT_EQ(held_out_documents().size(), lengths().size() - 1);
  config.eval_fraction = 0;
  EXPECT_EQ(open_evaluation(config, T), nullptr);
  EXPECT_NE(open_training(config, T, 1)->describe().find("0 of 40 documents held out"),
            std::string::npos)
      << open_training(config, T, 1)->describe();
}

TEST_F(LoaderTest, ASingleDocumentHoldsOutItsEnd) {
  test::write_numbered_corpus(path, {999});
  config.eval_fraction = 0.1;
  const auto evaluation = open_evaluation(config, T);
  const Batch held_out = evaluation->rows(0, evaluation->num_rows());
  EXPECT_EQ(held_out.num_targets, 100);  // tokens 901 .. 999 and the end
  EXPECT_EQ(test::row_of(held_out.tokens, 0)[0], 900);
  EXPECT_EQ(test::row_of(held_out.targets, 3)[3], 0);  // the end follows the last token, 999
  EXPECT_EQ(test::row_of(held_out.targets, 3)[4], kIgnoreTarget);
  EXPECT_NE(open_training(config, T, 1)->describe().find("the end of its one document held out"),
            std::string::npos);
  for (const auto& row : test::rows_of(open_training(config, T, 1)->rows(0, 200).targets)) {
    for (const std::int32_t token : row) EXPECT_LT(token, 900);
  }
}

TEST_F(LoaderTest, AnotherCorpusEvaluatesAllOfItself) {
  test::write_numbered_corpus(folder / "other.h5", {5, 6});
  config.eval = (folder / "other.h5").string();
  const auto evaluation = open_evaluation(config, 4);
  EXPECT_EQ(evaluation->num_rows(), 4);
  EXPECT_EQ(evaluation->rows(0, 4).num_targets, 13);
  EXPECT_EQ(evaluation->text_bytes(0, 4), 11);
  EXPECT_EQ(open_evaluation(config.eval, 4, false, 0)->rows(0, 4).num_targets, 13);
  EXPECT_NE(open_training(config, T, 1)->describe().find("0 of 40 documents held out"),
            std::string::npos);
}

TEST_F(LoaderTest, RefusesSettingsThatCannotBeHonoured) {
  const auto training = [&] { return test::refusal([&] { open_training(config, T, 1); }); };
  const auto evaluation = [&] { return test::refusal([&] { open_evaluation(config, T); }); };
  const DataConfig good = config;
  config.train = "";
  EXPECT_NE(training().find("data.train: "), std::string::npos) << training();
  config = good;
  for (const double fraction : {-0.1, 1.0, std::nan("")}) {
    config.eval_fraction = fraction;
    EXPECT_NE(training().find("data.eval_fraction: "), std::string::npos) << training();
    EXPECT_NE(evaluation().find("data.eval_fraction: "), std::string::npos) << evaluation();
  }
  config = good;
  config.eval = config.train;
  EXPECT_NE(evaluation().find("names the training corpus"), std::string::npos) << evaluation();
  config.eval = "synthetic:copy";
  EXPECT_NE(evaluation().find("cannot evaluate"), std::string::npos) << evaluation();
  const test::ByteToy bytes;
  {
    CorpusWriter writer(folder / "bytes.h5",
                        {bytes.to_json(), bytes.name(), bytes.vocab_size(), bytes.end_of_text(),
                         std::vector<std::int32_t>(257, 1)});
    writer.begin_document();
    writer.end_document();
    writer.finish();
  }
  config.eval = (folder / "bytes.h5").string();
  EXPECT_NE(evaluation().find("one tokenizer"), std::string::npos) << evaluation();
  config = good;
  const std::string said = test::refusal([&] { open_training(config, 100000, 1); });
  EXPECT_NE(said.find("set model.context to at most"), std::string::npos) << said;
  test::write_numbered_corpus(path, {0, 0});
  EXPECT_NE(training().find("one and the same text"), std::string::npos) << training();
}

TEST_F(LoaderTest, SyntheticTasksGoThroughTheSameDoor) {
  config.train = "synthetic:recall:distance=20";
  EXPECT_EQ(open_training(config, T, 1)->rows(0, 3).tokens.shape(), (Shape{3, T}));
  EXPECT_EQ(open_evaluation(config, T)->num_rows(), kSyntheticEvaluationRows);
  EXPECT_EQ(open_evaluation(config, T, 9)->num_rows(), 9);
  config.eval = "synthetic:recall:distance=10";
  EXPECT_NE(open_evaluation(config, T)->describe().find("distance=10"), std::string::npos);
}

}  // namespace
}  // namespace mixspan
