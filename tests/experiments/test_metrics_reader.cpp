// metrics.jsonl read back: what to_json() wrote, what a running program has half written, what
// nobody of ours writes.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "experiments/run/metrics_reader.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

class MetricsReader : public testing::Test {
 protected:
  RunMetrics read(const std::string& text) {
    test::write_file(file, text);
    return read_metrics(file);
  }
  static TrainMetrics train() {
    return {.step = 7,
            .tokens = 7168,
            .loss = 1.0 / 3.0,
            .grad_norm = 1e-300,
            .lr = 3e-4,
            .tokens_per_s = 48213.5,
            .mfu = 0.41,
            .step_ms = 12.25,
            .memory_bytes = std::int64_t{1} << 40,
            .comm_bytes = {.dp = 1, .cp = 2, .tp = 3}};
  }
  const test::ScratchFolder folder{test::memory_folder()};
  const std::filesystem::path file = folder / "metrics.jsonl";
};

TEST_F(MetricsReader, ReadsWhatWasWrittenToTheSameBits) {
  TrainMetrics m = train();
  for (const double loss : {0.1, 5e-324, 1.7976931348623157e308, -0.0, 3.0, 2.0 / 3.0, 1e22}) {
    m.loss = loss;
    const RunMetrics back = read(to_json(m) + "\n");
    ASSERT_EQ(back.train.size(), 1u) << loss;
    EXPECT_EQ(std::bit_cast<std::uint64_t>(back.train[0].loss), std::bit_cast<std::uint64_t>(loss));
    EXPECT_EQ(to_json(back.train[0]), to_json(m));
  }
  EvalMetrics e{.step = 10, .tokens = 20, .data = "a \"b\".h5", .context = 64, .targets = 30};
  e.loss = 2.5;
  e.bits_per_byte = 1.5;
  e.by_position = {{.begin = 0, .end = 32, .targets = 10, .loss = 2.25}};
  const RunMetrics back = read(to_json(m) + "\n" + to_json(e) + "\n");
  ASSERT_EQ(back.eval.size(), 1u);
  EXPECT_EQ(to_json(back.eval[0]), to_json(e));
  EXPECT_EQ(back.train.size(), 1u);
}

TEST_F(MetricsReader, NullIsNotANumber) {
  TrainMetrics m = train();
  m.loss = std::nan("");
  m.mfu.reset();
  const RunMetrics back = read(to_json(m) + "\n");
  ASSERT_EQ(back.train.size(), 1u);
  EXPECT_TRUE(std::isnan(back.train[0].loss));
  EXPECT_FALSE(back.train[0].mfu);
  EXPECT_EQ(back.train[0].step, 7);
}

TEST_F(MetricsReader, OrderAndBlanksOfKeysDoNotMatter) {
  const RunMetrics back =
      read(R"({"loss": 2.5, "kind": "train", "step": 3, "tokens": 9, "grad_norm": 1, "lr": 1,)"
           R"( "tokens_per_s": 1, "step_ms": 1, "memory_bytes": 5, "later": [1],)"
           R"( "comm_bytes": {"tp": 3, "dp": 1, "cp": 2}})"
           "\n");
  ASSERT_EQ(back.train.size(), 1u);
  EXPECT_EQ(back.train[0].loss, 2.5);
  EXPECT_EQ(back.train[0].comm_bytes.tp, 3);
}

TEST_F(MetricsReader, HalfALineAndOtherKindsAreLeftOut) {
  const std::string line = to_json(train());
  EXPECT_TRUE(read_metrics(folder / "none").train.empty());
  EXPECT_TRUE(read("").train.empty());
  EXPECT_EQ(read(line + "\n{\"kind\":\"weather\"}\n" + line).train.size(), 1u);
  for (std::size_t cut = 0; cut <= line.size(); cut += 7) {
    EXPECT_EQ(read(line + "\n" + line.substr(0, cut)).train.size(), 1u) << cut;
  }
}

TEST_F(MetricsReader, WhatIsNotALineOfMetricsIsNamed) {
  const std::string good = to_json(train());
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  for (const std::string& bad :
       {std::string("half"), std::string("{}"), std::string("[1]"), good + "}", good + " x",
        changed("7168", "07168"), changed("7168", "nan"), changed("7168", "\"7168\""),
        changed("12.25", "12."), changed("12.25", "inf"), changed("12.25", "+12"),
        changed("\"lr\"", "\"rl\""), good.substr(0, good.size() - 1)}) {
    const std::string message =
        test::refusal([&] { read(good + "\n" + bad + "\n" + good + "\n"); });
    EXPECT_NE(message.find("metrics.jsonl:2: not a line of metrics"), std::string::npos)
        << bad << ": " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace mixspan
