#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "experiments/run/metrics.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

TrainMetrics train(std::int64_t step) {
  return {.step = step,
          .tokens = step * 1024,
          .loss = 1.0 / 3.0 + static_cast<double>(step),
          .grad_norm = 0.1,
          .lr = 3e-4,
          .tokens_per_s = 48213.5,
          .mfu = 0.5,
          .step_ms = 12.25,
          .memory_bytes = 1 << 20,
          .comm_bytes = {.dp = 1, .cp = 2, .tp = 3}};
}

TEST(Metrics, TrainLineIsOneJsonObject) {
  EXPECT_EQ(to_json(train(7)),
            R"({"kind":"train","step":7,"tokens":7168,"loss":7.333333333333333,"grad_norm":0.1,)"
            R"("lr":0.0003,"tokens_per_s":48213.5,"mfu":0.5,"step_ms":12.25,)"
            R"("memory_bytes":1048576,"comm_bytes":{"dp":1,"cp":2,"tp":3}})");
}

TEST(Metrics, EvalLineHoldsPositionsAndPerplexity) {
  EvalMetrics m{.step = 10, .tokens = 20, .data = "a \"b\".h5", .context = 64, .targets = 30};
  m.bits_per_byte = 1.5;
  m.by_position = {{.begin = 0, .end = 32, .targets = 10, .loss = 2.5}};
  EXPECT_EQ(to_json(m),
            R"({"kind":"eval","step":10,"tokens":20,"data":"a \"b\".h5","context":64,)"
            R"("targets":30,"loss":0.0,"perplexity":1.0,"bits_per_byte":1.5,"accuracy":null,)"
            R"("by_position":[{"begin":0,"end":32,"targets":10,"loss":2.5}]})");
}

TEST(Metrics, NumbersReadBackToTheSameBits) {
  TrainMetrics m = train(1);
  for (double loss : {0.1, 1e-300, 5e-324, 1.7976931348623157e308, 3.0, 2.0 / 3.0, -0.0,
                      static_cast<double>(1.0f / 3.0f)}) {
    m.loss = loss;
    const double back = nlohmann::json::parse(to_json(m)).at("loss").get<double>();
    EXPECT_EQ(std::bit_cast<std::uint64_t>(back), std::bit_cast<std::uint64_t>(loss)) << loss;
  }
}

TEST(Metrics, NotANumberIsNull) {
  TrainMetrics m = train(1);
  m.loss = std::nan("");
  m.grad_norm = std::numeric_limits<double>::infinity();
  m.mfu.reset();
  const auto json = nlohmann::json::parse(to_json(m));
  EXPECT_TRUE(json.at("loss").is_null());
  EXPECT_TRUE(json.at("grad_norm").is_null());
  EXPECT_TRUE(json.at("mfu").is_null());
}

TEST(Metrics, TimingKeysAreKeysOfTheLine) {
  const auto json = nlohmann::json::parse(to_json(train(1)));
  for (std::string_view key : kTimingKeys) EXPECT_TRUE(json.contains(std::string(key))) << key;
}

class MetricsFile : public ::testing::Test {
 protected:
  // Lines of steps (first, last], with an evaluation every second step.
  void run(std::int64_t last_step, std::int64_t until) {
    MetricsWriter writer(file, last_step);
    for (std::int64_t s = std::max<std::int64_t>(last_step, 0) + 1; s <= until; ++s) {
      writer.write(train(s));
      if (s % 2 == 0) writer.write(EvalMetrics{.step = s, .data = "valid"});
    }
    writer.sync();
  }
  const test::ScratchFolder folder{test::memory_folder()};
  const std::filesystem::path file = folder / "metrics.jsonl";
};

TEST_F(MetricsFile, ResumedFileEqualsTheUninterruptedOne) {
  run(-1, 12);
  const std::string whole = test::read_file(file);
  for (std::int64_t killed : {1, 4, 5, 11, 12}) {
    for (std::int64_t checkpoint = 0; checkpoint <= killed; checkpoint += 4) {
      std::filesystem::remove(file);
      run(-1, killed);
      run(checkpoint, 12);
      EXPECT_EQ(test::read_file(file), whole) << killed << " " << checkpoint;
    }
  }
}

TEST_F(MetricsFile, HalfALineIsDropped) {
  run(-1, 4);
  const std::string whole = test::read_file(file);
  for (std::size_t cut = 0; cut <= whole.size(); cut += cut < 300 ? 23 : 61) {
    test::write_file(file, whole.substr(0, cut));
    { const MetricsWriter reopened(file, 4); }
    const std::string kept = test::read_file(file);
    const std::size_t last_end = whole.substr(0, cut).rfind('\n');
    EXPECT_EQ(kept, last_end == std::string::npos ? "" : whole.substr(0, last_end + 1)) << cut;
  }
}

TEST_F(MetricsFile, ForeignLinesAreDropped) {
  test::write_file(file, "garbage\n[1]\n{\"step\":\"two\"}\n{}\n" + to_json(train(1)) + "\n\n");
  { const MetricsWriter reopened(file, 1); }
  EXPECT_EQ(test::read_file(file), to_json(train(1)) + "\n");
}

TEST_F(MetricsFile, AFreshStartDropsAll) {
  run(-1, 4);
  { const MetricsWriter reopened(file, -1); }
  EXPECT_EQ(test::read_file(file), "");
}

TEST_F(MetricsFile, AFolderThatIsNotThereIsNamed) {
  try {
    const MetricsWriter writer(folder / "none/metrics.jsonl", -1);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("metrics.jsonl: cannot be opened"), std::string::npos);
  }
}

}  // namespace
}  // namespace mixspan
