// Runs on meshes from their start to their end: stopped, continued, and failing together.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/error.h"
#include "experiments/run/checkpoint.h"
#include "experiments/run/train.h"
#include "parallel/communicator.h"
#include "tests/experiments/run_files.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using namespace test;
namespace fs = std::filesystem;

constexpr std::int64_t kRows = 8, kSteps = 8;

RunConfig run_config(std::int64_t dp, std::int64_t cp, std::int64_t tp) {
  RunConfig c;
  c.model.layers = 2;
  c.model.width = 32;
  c.model.heads = 4;
  c.model.context = 64;
  c.model.span = "sliding:8";
  c.model.full_layers = "bottom:1";
  c.data.train = "synthetic:copy:distance=16";
  c.train.steps = kSteps;
  c.train.batch_tokens = kRows * c.model.context;
  c.parallel.dp = dp;
  c.parallel.cp = cp;
  c.parallel.tp = tp;
  c.checkpoint.every_steps = 3;
  c.checkpoint.keep = 0;
  c.eval.every_steps = 0;
  c.eval.rows = kRows;
  c.log.every_steps = 1;
  c.log.tensorboard = false;
  return c;
}

// Rows of the config, each reading of which is told first: `before` gets the index of the first
// row, from which step and dp rank follow.
class WatchedRows final : public SampleSource {
 public:
  using Before = std::function<void(std::int64_t first)>;
  WatchedRows(const RunConfig& c, Before before)
      : rows_(open_training(c.data, c.model.context, static_cast<std::uint64_t>(c.train.seed))),
        before_(std::move(before)) {}
  Batch rows(std::int64_t first, std::int64_t count) const override {
    before_(first);
    return rows_->rows(first, count);
  }
  std::int64_t vocab_size() const override { return rows_->vocab_size(); }
  std::int64_t row_tokens() const override { return rows_->row_tokens(); }
  std::string describe() const override { return rows_->describe(); }
  std::uint64_t digest() const override { return rows_->digest(); }

 private:
  std::unique_ptr<SampleSource> rows_;
  Before before_;
};

class MeshRun : public testing::Test {
 protected:
  ExitCode run(const RunConfig& config, const std::string& name,
               const WatchedRows::Before& before = {}) {
    std::FILE* out = std::tmpfile();
    TrainRequest request{config, folder / name, out};
    request.threads = request.thread_ranks = static_cast<int>(config.parallel.ranks());
    request.measure_peak = false;
    if (before) request.open_data = [&] { return std::make_unique<WatchedRows>(config, before); };
    try {
      const ExitCode code = train(request);
      std::fclose(out);
      return code;
    } catch (...) {
      std::fclose(out);
      throw;
    }
  }
  // The message of what ends the run; "" where it ends well.
  std::string failure(const RunConfig& config, const std::string& name,
                      const WatchedRows::Before& before = {}) {
    try {
      run(config, name, before);
    } catch (const CommunicationError& e) {
      return fmt::format("a consequence: {}", e.what());
    } catch (const std::exception& e) {
      return e.what();
    }
    return "";
  }
  nlohmann::json json(const std::string& name, const std::string& file) const {
    return nlohmann::json::parse(read_file(folder / name / file));
  }
  fs::path checkpoint(const std::string& name, std::int64_t step) const {
    return folder / name / "checkpoints" / fmt::format("step-{:08}", step);
  }
  std::vector<std::string> checkpoints(const std::string& name) const {
    std::vector<std::string> names;
    for (const auto& e : fs::directory_iterator(folder / name / "checkpoints")) {
      names.push_back(e.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  std::vector<nlohmann::json> metrics(const std::string& name) const {
    return metrics_of(folder / name);
  }
  void expect_failed(const std::string& name, const std::string& reason) const {
    const nlohmann::json status = json(name, "status.json");
    EXPECT_EQ(status["state"], "failed");
    const std::string said = status["last_error"];
    EXPECT_NE(said.find(reason), std::string::npos) << said;
    EXPECT_EQ(said.find('\n'), std::string::npos) << said;
  }

  const ScratchFolder scratch{memory_folder()};
  const fs::path folder = scratch.path();
};

TEST_F(MeshRun, GoesOnFromAnotherMeshWithTheSameLosses) {
  RunConfig config = run_config(2, 2, 2);
  ASSERT_EQ(run(config, "whole"), kFinished);
  for (const auto& [dp, cp, tp] : {std::tuple{1, 4, 1}, {8, 1, 1}, {1, 1, 1}}) {
    const std::string name = fmt::format("on {} {} {}", dp, cp, tp);
    fs::copy(folder / "whole", folder / name,
             fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    for (const std::int64_t later : {6, 8}) fs::remove_all(checkpoint(name, later));
    config = run_config(dp, cp, tp);
    ASSERT_EQ(run(config, name), kFinished);
    const auto got = metrics(name), want = metrics("whole");
    ASSERT_EQ(got.size(), want.size());
    ASSERT_EQ(got.size(), static_cast<std::size_t>(kSteps + 1));  // and an evaluation
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double loss = want[i]["loss"];
      EXPECT_EQ(got[i]["step"], want[i]["step"]);
      EXPECT_NEAR(got[i]["loss"], loss, 1e-5 * loss) << name << ", line " << i;
    }
    EXPECT_NE(got.back()["loss"], metrics("whole")[0]["loss"]);
    EXPECT_EQ(Checkpoint::open(checkpoint(name, kSteps)).names(),
              Checkpoint::open(checkpoint("whole", kSteps)).names());
  }
}

// Ranks leave signals to the first thread: returns when it has taken this one.
void send_to_process(int signal) {
  kill(getpid(), signal);
  sigset_t pending;
  do {
    std::this_thread::yield();
    sigpending(&pending);
  } while (sigismember(&pending, signal) == 1);
}

TEST_F(MeshRun, ASignalStopsAllRanksAndTheSameCommandGoesOnToTheSameBits) {
  const RunConfig config = run_config(2, 2, 2);
  ASSERT_EQ(run(config, "whole"), kFinished);
  std::atomic<int> signals{0};
  const auto send_signal = [&](std::int64_t first) {
    if (first == 4 * kRows && signals++ == 0) send_to_process(SIGTERM);  // amid step 5
  };
  ASSERT_EQ(run(config, "stopped", send_signal), kStopped);
  EXPECT_EQ(json("stopped", "status.json")["state"], "interrupted");
  EXPECT_TRUE(fs::exists(checkpoint("stopped", 5)));
  EXPECT_FALSE(fs::exists(checkpoint("stopped", 6)));
  ASSERT_EQ(run(config, "stopped"), kFinished);
  EXPECT_EQ(metrics("stopped"), metrics("whole"));
  EXPECT_EQ(content_digest(checkpoint("stopped", kSteps)),
            content_digest(checkpoint("whole", kSteps)));
}

TEST_F(MeshRun, TheEndOfItsTimeStopsAllRanks) {
  RunConfig config = run_config(1, 2, 2);
  ASSERT_EQ(run(config, "whole"), kFinished);
  config.train.max_time = "1s";
  std::atomic<int> naps{0};
  const auto nap = [&](std::int64_t first) {
    // One rank alone finds that the time is up, or with it those that wait for it.
    if (first == 2 * kRows && naps++ == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    }
  };
  ASSERT_EQ(run(config, "stopped", nap), kStopped);
  EXPECT_EQ(json("stopped", "status.json")["last_error"], "train.max_time is up");
  config.train.max_time.clear();
  ASSERT_EQ(run(config, "stopped"), kFinished);
  EXPECT_EQ(metrics("stopped"), metrics("whole"));
  EXPECT_EQ(content_digest(checkpoint("stopped", kSteps)),
            content_digest(checkpoint("whole", kSteps)));
}

// Of four dp ranks each reads two of a step's rows.
TEST_F(MeshRun, ARankThatThrowsEndsTheRunWithItsReason) {
  for (const std::int64_t rank : {0, 3}) {
    const std::string name = fmt::format("rank {}", rank);
    const std::string message = failure(run_config(4, 1, 1), name, [&](std::int64_t first) {
      check(first != 4 * kRows + 2 * rank, "row {} is on fire", first);
    });
    EXPECT_EQ(message, fmt::format("row {} is on fire", 4 * kRows + 2 * rank));
    expect_failed(name, message);
    EXPECT_EQ(checkpoints(name), (std::vector<std::string>{"latest", "step-00000003"}));
  }
  // Where others wait for it within a layer.
  std::atomic<int> calls{0};
  EXPECT_EQ(failure(run_config(2, 2, 2), "one of eight",
                    [&](std::int64_t first) {
                      check(first != 4 * kRows || calls++ != 2, "the third is on fire");
                    }),
            "the third is on fire");
  expect_failed("one of eight", "the third is on fire");
}

// While one lives, no file of this process may become larger than a limit, as on a full disk.
class FullDisk {
 public:
  FullDisk() {
    getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = signal(SIGXFSZ, SIG_IGN);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }
  void fill(rlim_t bytes) const {
    const struct rlimit full { bytes, before_.rlim_max };
    setrlimit(RLIMIT_FSIZE, &full);
  }

 private:
  struct rlimit before_ {};
  void (*handler_)(int);
};

TEST_F(MeshRun, AFullDiskEndsAllRanksWithOneMessageAndCostsNoCheckpoint) {
  const RunConfig config = run_config(2, 2, 2);
  std::string message;
  {
    const FullDisk disk;
    message = failure(config, "full", [&](std::int64_t first) {
      if (first == 4 * kRows) disk.fill(50000);
    });
  }
  EXPECT_NE(message.find("step-00000006."), std::string::npos) << message;
  EXPECT_NE(message.find("File too large"), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  expect_failed("full", message);
  EXPECT_EQ(checkpoints("full"), (std::vector<std::string>{"latest", "step-00000003"}));
  EXPECT_EQ(run(config, "full"), kFinished);  // with space again
  ASSERT_EQ(run(config, "whole"), kFinished);
  EXPECT_EQ(content_digest(checkpoint("full", kSteps)),
            content_digest(checkpoint("whole", kSteps)));
}

TEST_F(MeshRun, AnUnwritableFolderEndsAllRanksWithOneMessageAndCostsNoCheckpoint) {
  const bool root = geteuid() == 0;  // who may write anywhere
  constexpr uid_t kNobody = 65534;
  fs::create_directories(folder / "read only");
  fs::permissions(folder, static_cast<fs::perms>(0755));
  fs::permissions(folder / "read only", fs::perms::all);
  const fs::path inside = folder / "read only" / "checkpoints";
  std::atomic<bool> done{false};
  const std::string message = failure(run_config(2, 1, 2), "read only", [&](std::int64_t first) {
    if (first != 4 * kRows || done.exchange(true)) return;
    fs::permissions(inside, static_cast<fs::perms>(0555));
    if (root) check(seteuid(kNobody) == 0, "seteuid");
  });
  ASSERT_TRUE(!root || seteuid(0) == 0);
  fs::permissions(inside, fs::perms::owner_all);
  EXPECT_NE(message.find("step-00000006."), std::string::npos) << message;
  EXPECT_NE(message.find("Permission denied"), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  expect_failed("read only", message);
  EXPECT_EQ(checkpoints("read only"), (std::vector<std::string>{"latest", "step-00000003"}));
  EXPECT_EQ(find_newest(inside).path, checkpoint("read only", 3));
}

TEST_F(MeshRun, TellsHowKeysMoveAndWhatEachStepSends) {
  RunConfig config = run_config(2, 2, 2);
  config.model.spans = {"sliding:8", "block:32"};
  config.model.span = config.model.full_layers = "";
  config.parallel.layout = "contiguous";
  ASSERT_EQ(run(config, "run"), kFinished);
  const std::string log = read_file(folder / "run" / "log.txt");
  EXPECT_NE(log.find("layer 0: sliding:8 by halo (halo "), std::string::npos) << log;
  EXPECT_NE(log.find("layer 1: block:32 by local (block:32 never leaves a chunk)"),
            std::string::npos)
      << log;
  // Each dp rank has four rows of 64 positions; the first cp rank sends 7 keys and values of 2
  // heads of 8 floats, and no gradient, for it receives no keys.
  const std::int64_t bytes = 4 * 7 * 2 * (2 * 8 * 4);
  const std::string line = fmt::format("layer 0 sliding:8 halo: planned {0:.1f}K, sent {0:.1f}K",
                                       static_cast<double>(bytes) / 1024);
  EXPECT_NE(log.find(line), std::string::npos) << log;
  EXPECT_EQ(log.find("layer 1 block:32"), std::string::npos) << log;
  EXPECT_EQ(log.find("than planned"), std::string::npos) << log;

  const nlohmann::json result = json("run", "result.json");
  ASSERT_EQ(result["transports"].size(), 2u);
  EXPECT_EQ(result["transports"][0]["transport"], "halo");
  EXPECT_FALSE(std::string(result["transports"][0]["reason"]).empty());
  EXPECT_EQ(result["transports"][0]["planned_bytes"], bytes);
  EXPECT_EQ(result["transports"][0]["sent_bytes"], bytes);
  EXPECT_EQ(result["transports"][1]["transport"], "local");
  // The other cp rank sends as much again, gradients; there are four such pairs.
  EXPECT_EQ(result["traffic"]["cp"]["bytes"], 2 * 4 * bytes);
  for (const char* axis : {"tp", "cp", "dp_cp"}) {
    EXPECT_GT(result["traffic"][axis]["bytes"], 0) << axis;
    EXPECT_GE(result["traffic"][axis]["wait_seconds"], 0) << axis;
  }
  EXPECT_EQ(metrics("run")[0]["comm_bytes"]["cp"], bytes);
}

TEST_F(MeshRun, IsRefusedBeforeItBeginsWhereMemoryIsClearlyTooSmall) {
  RunConfig config = run_config(2, 2, 1);
  config.model.width = 1 << 16;  // 100 billion parameters
  config.model.heads = 1 << 10;
  config.model.vocab = 1 << 10;
  const std::string message = failure(config, "run");
  EXPECT_EQ(message.find("parallel: each of 4 ranks is predicted to need "), 0u) << message;
  EXPECT_NE(message.find(" GB of this machine; "), std::string::npos) << message;
  EXPECT_FALSE(fs::exists(folder / "run"));
}

TEST_F(MeshRun, ARunDirectoryThatCannotBeMadeIsRefusedOnce) {
  write_file(folder / "file", "");
  const std::string message = failure(run_config(2, 2, 1), "file/run");
  EXPECT_NE(message.find("cannot be made a run directory"), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

}  // namespace
}  // namespace mixspan
