// A run that is killed, stopped or damaged ends as one that was left alone: same losses bit for
// bit, same final checkpoint.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "experiments/run/checkpoint.h"
#include "experiments/run/exit_code.h"
#include "tests/experiments/run_files.h"
#include "tests/support/program.h"

namespace mixspan {
namespace {

using namespace test;
namespace fs = std::filesystem;

constexpr const char* kConfig = R"([model]
layers = 3
width = 64
heads = 2
context = 128
span = "sliding:16"
full_layers = "bottom:1"
[data]
train = "{}"
eval_fraction = 0.2
[train]
steps = 40
batch_tokens = 1024
micro_rows = 4
[optimizer]
lr = 1e-3
[checkpoint]
every_steps = 3
keep = 2
[eval]
every_steps = 10
[log]
every_steps = 1
)";

// One corpus and one uninterrupted run for all tests of this file.
class Resume : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new ScratchFolder;
    const std::string text = read_file(MIXSPAN_SOURCE_DIR "/LICENSE");
    for (int i = 0; i < 8; ++i) {
      write_file(text_file(i),
                 fmt::format("{}{}", i, text.substr(static_cast<std::size_t>(i) * 1000, 3000)));
    }
    std::vector<std::string> arguments{"prepare", "--out", *folder_ / "corpus.h5", "--tokenizer",
                                       "byte"};
    for (int i = 0; i < 8; ++i) arguments.push_back(text_file(i));
    const ProgramResult prepared = mixspan(arguments);
    ASSERT_EQ(prepared.exit_code, 0) << prepared.err;
    write_file(*folder_ / "run.toml",
               fmt::format(fmt::runtime(kConfig), (*folder_ / "corpus.h5").string()));
    const ProgramResult whole = mixspan(train("whole"));
    ASSERT_EQ(whole.exit_code, 0) << whole.err;
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::string text_file(int i) { return *folder_ / fmt::format("text{}.txt", i); }
  static std::vector<std::string> train(const std::string& name) {
    return {"train", *folder_ / "run.toml", "--run-dir", *folder_ / name};
  }
  static std::unique_ptr<Program> start(const std::string& name) {
    std::vector<std::string> arguments = train(name);
    arguments.insert(arguments.begin(), mixspan_path());
    return std::make_unique<Program>(arguments);
  }
  static fs::path run(const std::string& name) { return *folder_ / name; }

  // As texts, which are equal where every digit is.
  static std::vector<std::string> metrics(const std::string& name) {
    std::vector<std::string> lines;
    for (const nlohmann::json& line : metrics_of(run(name))) lines.push_back(line.dump());
    return lines;
  }
  static std::int64_t lines_now(const std::string& name) {
    if (!fs::exists(run(name) / "metrics.jsonl")) return 0;
    const std::string text = read_file(run(name) / "metrics.jsonl");
    return std::count(text.begin(), text.end(), '\n');
  }
  // Waits until the run has written `lines` lines of metrics; false when it ended before.
  static bool wait_for_lines(Program& program, const std::string& name, std::int64_t lines) {
    while (lines_now(name) < lines) {
      if (!program.running()) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return program.running();
  }
  static std::string final_digest(const std::string& name) {
    return content_digest(run(name) / "checkpoints" / "step-00000040");
  }
  static void expect_same_as_whole(const std::string& name) {
    EXPECT_EQ(metrics(name), metrics("whole"));
    EXPECT_EQ(final_digest(name), final_digest("whole"));
  }

  static inline ScratchFolder* folder_ = nullptr;
};

TEST_F(Resume, KilledAtFiveRandomMoments) {
  std::mt19937 random(20261122);
  int kills = 0;
  for (std::int64_t lines : {4, 11, 20, 28, 36}) {
    const auto program = start("killed");
    ASSERT_TRUE(wait_for_lines(*program, "killed", lines)) << program->wait().err;
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 20000));
    program->signal(SIGKILL);
    kills += program->wait().exit_code == 128 + SIGKILL;
  }
  EXPECT_EQ(kills, 5);
  const ProgramResult last = mixspan(train("killed"));
  ASSERT_EQ(last.exit_code, 0) << last.err;
  EXPECT_NE(last.out.find("going on from step "), std::string::npos);
  EXPECT_EQ(metrics("killed").size(), 44u);  // 40 steps, 4 evaluations
  expect_same_as_whole("killed");
}

TEST_F(Resume, StoppedBySignals) {
  std::int64_t lines = 5;
  for (int signal : {SIGTERM, SIGINT, SIGUSR1}) {
    const auto program = start("stopped");
    ASSERT_TRUE(wait_for_lines(*program, "stopped", lines)) << program->wait().err;
    program->signal(signal);
    const ProgramResult result = program->wait();
    EXPECT_EQ(result.exit_code, kStopped) << result.err;
    EXPECT_NE(result.out.find("the same command goes on"), std::string::npos);
    const auto status = nlohmann::json::parse(read_file(run("stopped") / "status.json"));
    EXPECT_EQ(status["state"], "interrupted");
    lines += 10;
  }
  EXPECT_EQ(mixspan(train("stopped")).exit_code, 0);
  expect_same_as_whole("stopped");
}

TEST_F(Resume, ADamagedNewestCheckpointIsReportedAndPassedOver) {
  {
    const auto program = start("damaged");
    ASSERT_TRUE(wait_for_lines(*program, "damaged", 20)) << program->wait().err;
    program->signal(SIGKILL);
    program->wait();
  }
  const fs::path newest = fs::canonical(run("damaged") / "checkpoints" / "latest");
  std::string state = read_file(newest / "state.h5");
  state[state.size() / 2] ^= 1;
  write_file(newest / "state.h5", state);
  const ProgramResult result = mixspan(train("damaged"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("damaged checkpoint passed over: "), std::string::npos) << result.out;
  expect_same_as_whole("damaged");
}

TEST_F(Resume, OnlyDamagedCheckpointsAreRefused) {
  {
    const auto program = start("hopeless");
    ASSERT_TRUE(wait_for_lines(*program, "hopeless", 10)) << program->wait().err;
    program->signal(SIGKILL);
    program->wait();
  }
  for (const auto& entry : fs::directory_iterator(run("hopeless") / "checkpoints")) {
    if (fs::is_directory(entry)) fs::resize_file(entry.path() / "state.h5", 1000);
  }
  const ProgramResult result = mixspan(train("hopeless"));
  EXPECT_EQ(result.exit_code, kUsage);
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
}

TEST_F(Resume, AFinishedRunIsLeftAlone) {
  const std::string before = read_file(run("whole") / "metrics.jsonl");
  const ProgramResult again = mixspan(train("whole"));
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_NE(again.out.find("finished"), std::string::npos);
  EXPECT_EQ(read_file(run("whole") / "metrics.jsonl"), before);
  EXPECT_EQ(mixspan(train("repeated")).exit_code, 0);
  expect_same_as_whole("repeated");
}

TEST_F(Resume, AnotherConfigOrAnotherCorpusIsRefused) {
  std::vector<std::string> other = train("whole");
  other.insert(other.end(), {"--set", "model.span=sliding:17"});
  const ProgramResult result = mixspan(other);
  EXPECT_EQ(result.exit_code, kUsage);
  EXPECT_NE(result.err.find("model.span"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace mixspan
