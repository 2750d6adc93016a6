// A sweep whose runner is killed again and again ends as one that was left alone.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "experiments/run/checkpoint.h"
#include "tests/experiments/run_files.h"
#include "tests/experiments/sweep_fixture.h"
#include "tests/support/program.h"

namespace mixspan {
namespace {

using namespace test;
namespace fs = std::filesystem;

constexpr int kSteps = 60, kRuns = 6, kKills = 10;

class SweepKillSlow : public testing::Test {
 protected:
  void SetUp() override {
    write_file(scratch / "base.toml", fmt::format(kTinyBase, kSteps));
    write_file(scratch / "s.toml",
               "[sweep]\nbase = \"base.toml\"\n[grid]\n"
               "model.full_layers = [\"none\", \"bottom:1\", \"all\"]\ntrain.seed = [1, 2]\n");
  }
  std::vector<std::string> command(const std::string& out) const {
    return {mixspan_path(), "sweep", scratch / "s.toml", "--jobs", "2", "--out", scratch / out};
  }
  std::vector<fs::path> run_dirs(const std::string& out) const {
    std::vector<fs::path> all;
    const fs::path runs = scratch.path() / out / "runs";
    if (!fs::exists(runs)) return all;
    for (const auto& entry : fs::directory_iterator(runs)) {
      if (entry.is_directory()) all.push_back(entry.path());
    }
    std::sort(all.begin(), all.end());
    return all;
  }
  // Lines that all runs together have written.
  std::int64_t progress(const std::string& out) const {
    std::int64_t lines = 0;
    for (const fs::path& run : run_dirs(out)) {
      if (!fs::exists(run / "metrics.jsonl")) continue;
      const std::string text = read_file(run / "metrics.jsonl");
      lines += std::count(text.begin(), text.end(), '\n');
    }
    return lines;
  }

  ScratchFolder scratch{memory_folder()};
};

nlohmann::json result_of(const fs::path& run) {
  auto result = nlohmann::json::parse(read_file(run / "result.json"));
  result.erase("seconds");  // since the last start
  return result;
}

TEST_F(SweepKillSlow, TenTimesAndTheTableIsTheSame) {
  const ProgramResult calm = Program(command("calm")).wait();
  ASSERT_EQ(calm.exit_code, 0) << calm.out << calm.err;

  const std::int64_t all = progress("calm");
  std::mt19937 random(7);
  std::vector<std::int64_t> moments(kKills);
  for (std::int64_t& moment : moments) moment = static_cast<std::int64_t>(random() % (all - 1));
  std::sort(moments.begin(), moments.end());
  for (const std::int64_t moment : moments) {
    Program runner(command("killed"));
    // As soon as so much is done, which may be before this runner has done anything.
    while (runner.running() && progress("killed") < moment) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ASSERT_TRUE(runner.running()) << runner.wait().out << runner.wait().err;
    runner.signal(SIGKILL);
    runner.wait();
  }
  const ProgramResult last = Program(command("killed")).wait();
  ASSERT_EQ(last.exit_code, 0) << last.out << last.err;

  const std::vector<fs::path> want = run_dirs("calm"), got = run_dirs("killed");
  ASSERT_EQ(want.size(), std::size_t{kRuns});
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(got[i].filename(), want[i].filename());
    EXPECT_EQ(metrics_of(got[i]), metrics_of(want[i])) << want[i];
    EXPECT_EQ(result_of(got[i]), result_of(want[i])) << want[i];
    EXPECT_EQ(content_digest(fs::canonical(got[i] / "checkpoints/latest")),
              content_digest(fs::canonical(want[i] / "checkpoints/latest")));
  }
}

}  // namespace
}  // namespace mixspan
