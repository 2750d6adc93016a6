#include "data/synthetic.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "tests/data/batches.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

std::unique_ptr<SampleSource> training(const std::string& task, std::int64_t T,
                                       std::uint64_t seed = 1) {
  return open_synthetic(parse_synthetic(task), T, seed);
}

TEST(Synthetic, ReadsParametersAndFillsInTheRest) {
  EXPECT_EQ(parse_synthetic("synthetic:recall").str(),
            "synthetic:recall:distance=64,pairs=4,values=8");
  EXPECT_EQ(parse_synthetic("synthetic:recall:values=3,distance=9").str(),
            "synthetic:recall:distance=9,pairs=4,values=3");
  EXPECT_EQ(parse_synthetic("synthetic:copy:distance=9").str(),
            "synthetic:copy:distance=9,values=8");
  EXPECT_EQ(parse_synthetic("synthetic:induction").str(),
            "synthetic:induction:distance=64,pairs=4,values=8");
  for (const char* task : {"synthetic:recall", "synthetic:induction", "synthetic:copy"}) {
    EXPECT_EQ(parse_synthetic(parse_synthetic(task).str()).str(), parse_synthetic(task).str());
  }
}

TEST(Synthetic, RefusesWhatItCannotReadAndSaysWhatWouldWork) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"synthetic:recal", "synthetic:recall, synthetic:induction, synthetic:copy"},
      {"synthetic:", "no such task"},
      {"synthetic:copy:pairs=3", "with distance, values"},
      {"synthetic:recall:distance", "'distance' is no parameter"},
      {"synthetic:recall:distance=", "whole number from 1"},
      {"synthetic:recall:distance=0", "whole number from 1"},
      {"synthetic:recall:distance=9x", "whole number from 1"},
      {"synthetic:recall:distance=99999999999999999999", "whole number from 1"},
      {"synthetic:recall:values=1", "whole number from 2 to 256"},
      {"synthetic:recall:pairs=2,pairs=3", "given twice"}};
  for (const auto& [text, wanted] : cases) {
    const std::string said = test::refusal([&] { parse_synthetic(text); });
    EXPECT_NE(said.find(wanted), std::string::npos) << said;
  }
  const std::string said = test::refusal([] { training("synthetic:recall", 67); });
  EXPECT_NE(said.find("at least 68 tokens; model.context is 67"), std::string::npos) << said;
  EXPECT_NO_THROW(training("synthetic:recall", 68));
}

TEST(Synthetic, RowsArePureFunctionsOfSeedAndIndex) {
  for (const char* task : {"synthetic:recall:distance=20", "synthetic:induction:distance=20",
                           "synthetic:copy:distance=20"}) {
    test::expect_rows_are_pure(*training(task, 48), *training(task, 48));
    EXPECT_NE(test::tokens_of(training(task, 48, 1)->rows(0, 1)),
              test::tokens_of(training(task, 48, 2)->rows(0, 1)));
    EXPECT_NE(training(task, 48, 1)->digest(), training(task, 48, 2)->digest());
    EXPECT_EQ(training(task, 48, 1)->digest(), training(task, 48, 1)->digest());
    EXPECT_GE(training(task, 48)->rows(std::int64_t{1} << 40, 2).num_targets, 2);
  }
}

// What a row says: where each key's value stands, found without knowing how the row was made.
struct Facts {
  std::map<std::int32_t, std::int32_t> value_of;  // query token -> value token
  std::map<std::int32_t, std::int64_t> place_of;  // query token -> where it can be read
};

Facts facts_of(const std::string& task, const std::vector<std::int32_t>& row, std::int64_t pairs,
               std::int64_t values, std::int64_t first_answer) {
  const auto V = static_cast<std::int32_t>(values), P = static_cast<std::int32_t>(pairs);
  Facts facts;
  for (std::int64_t t = 0; t < first_answer; ++t) {
    const std::int32_t token = row[static_cast<std::size_t>(t)];
    if (task == "recall" && token > V + P) {
      const std::int32_t key = (token - 1 - V - P) / V, value = (token - 1 - V - P) % V;
      facts.value_of[1 + V + key] = 1 + value;
      facts.place_of[1 + V + key] = t;
    }
    if (task == "induction" && token > V) {
      facts.value_of[token] = row[static_cast<std::size_t>(t + 1)];
      facts.place_of[token] = t + 1;
    }
  }
  return facts;
}

TEST(Synthetic, AnswersAreRightUniformAndFarAway) {
  constexpr std::int64_t T = 64, distance = 30, pairs = 5, values = 6, rows = 200;
  for (const std::string task : {"recall", "induction"}) {
    const auto source = training("synthetic:" + task + ":distance=30,pairs=5,values=6", T);
    EXPECT_EQ(source->vocab_size(), task == "recall" ? 1 + 6 + 5 + 30 : 1 + 6 + 5);
    EXPECT_DOUBLE_EQ(source->chance(), 1.0 / values);
    const Batch batch = source->rows(0, rows);
    std::map<std::int32_t, int> seen;
    std::int64_t targets = 0;
    for (std::int64_t b = 0; b < rows; ++b) {
      const auto row = test::row_of(batch.tokens, b), answers = test::row_of(batch.targets, b);
      const std::int64_t first =
          std::find_if(answers.begin(), answers.end(), [](auto a) { return a != kIgnoreTarget; }) -
          answers.begin();
      const Facts facts = facts_of(task, row, pairs, values, first);
      ASSERT_EQ(std::ssize(facts.value_of), pairs);
      for (std::int64_t t = 0; t < T; ++t) {
        const auto at = static_cast<std::size_t>(t);
        ASSERT_TRUE(row[at] >= 0 && row[at] < source->vocab_size());
        if (answers[at] == kIgnoreTarget) continue;
        EXPECT_EQ(answers[at], facts.value_of.at(row[at]));
        EXPECT_GE(t - facts.place_of.at(row[at]), distance);
        ++seen[answers[at]];
        ++targets;
      }
      // Nothing but filler and queries within reach of the first answer: the rest is far away.
      for (std::int64_t t = first - distance + 1; t < first; ++t) {
        EXPECT_EQ(row[static_cast<std::size_t>(t)], 0);
      }
    }
    EXPECT_EQ(batch.num_targets, targets);
    EXPECT_EQ(std::ssize(seen), values);
    const double expected = static_cast<double>(targets) / values;
    // Answers of a row share its values, so counts vary as those of `rows * pairs` draws do.
    for (const auto& [value, count] : seen) EXPECT_NEAR(count, expected, 0.25 * expected) << value;
  }
}

TEST(Synthetic, CopyAsksForTheTokenThatFarBack) {
  const auto source = training("synthetic:copy:distance=7,values=5", 20);
  const Batch batch = source->rows(3, 4);
  EXPECT_EQ(batch.num_targets, 4 * 13);
  EXPECT_EQ(source->vocab_size(), 5);
  for (std::int64_t b = 0; b < 4; ++b) {
    const auto row = test::row_of(batch.tokens, b), answers = test::row_of(batch.targets, b);
    for (std::size_t t = 0; t < 20; ++t) {
      EXPECT_EQ(answers[t], t < 7 ? kIgnoreTarget : row[t - 7]);
    }
  }
}

TEST(Synthetic, EvaluationIsFiniteAndApartFromTraining) {
  const SyntheticTask task = parse_synthetic("synthetic:recall:distance=10");
  const auto evaluation = open_synthetic_evaluation(task, 32, 50);
  EXPECT_EQ(evaluation->num_rows(), 50);
  EXPECT_EQ(evaluation->text_bytes(0, 50), 0);
  EXPECT_THROW(evaluation->rows(49, 2), Error);
  std::set<std::vector<std::int32_t>> held_out;
  for (const auto& row : test::rows_of(evaluation->rows(0, 50).tokens)) held_out.insert(row);
  EXPECT_EQ(held_out.size(), 50u);
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    const auto source = open_synthetic(task, 32, seed);
    for (const auto& row : test::rows_of(source->rows(0, 200).tokens)) {
      EXPECT_FALSE(held_out.contains(row));
    }
  }
}

TEST(Synthetic, SaysWhatItIs) {
  EXPECT_EQ(training("synthetic:recall:distance=32", 64)->describe(),
            "synthetic:recall:distance=32,pairs=4,values=8: 29 answers in a row of 64, each at "
            "least 32 tokens back; guessing gives 12.5 %");
}

}  // namespace
}  // namespace mixspan
