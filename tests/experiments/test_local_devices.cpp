// Devices divided among local runs, of a machine that is said to have some.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "experiments/sweep/local_devices.h"
#include "experiments/sweep/local_launcher.h"
#include "tests/experiments/sweep_fixture.h"

namespace mixspan {
namespace {

using namespace test;
namespace fs = std::filesystem;
using Names = std::vector<std::string>;

std::vector<SweepRun> on_gpus(std::vector<SweepRun> runs, std::int64_t ranks) {
  for (SweepRun& run : runs) {
    run.config.device = "cuda";
    run.config.parallel.dp = ranks;
  }
  return runs;
}

TEST(LocalDevices, AreNamedAsThisProcessSeesThem) {
  EXPECT_EQ(device_names(3, nullptr), (Names{"0", "1", "2"}));
  EXPECT_EQ(device_names(2, "3,1"), (Names{"3", "1"}));
  EXPECT_EQ(device_names(2, "GPU-8932f937,MIG-5c1,7"), (Names{"GPU-8932f937", "MIG-5c1"}));
  EXPECT_EQ(device_names(0, ""), Names{});
}

TEST(LocalDevices, FollowFromTheMesh) {
  const ScratchFolder scratch{memory_folder()};
  std::vector<SweepRun> runs = tiny_runs(1, scratch.path());
  EXPECT_EQ(devices_of(runs[0].config), 0) << "on the CPU";
  EXPECT_NO_THROW(require_devices(runs, 0));
  runs = on_gpus(runs, 4);
  EXPECT_EQ(devices_of(runs[0].config), 4);
  EXPECT_NO_THROW(require_devices(runs, 4));
  const std::string message = refusal([&] { require_devices(runs, 2); });
  EXPECT_NE(message.find("run seed-1: device = \"cuda\" on 4 ranks"), std::string::npos) << message;
}

TEST(LocalDevices, DecideHowManyRunsThereAreAtATimeWhereNothingElseDoes) {
  const ScratchFolder scratch{memory_folder()};
  std::vector<SweepRun> runs = tiny_runs(2, scratch.path());
  EXPECT_EQ(with_devices({}, runs, 8).jobs, 0) << "none of them needs any";
  runs = on_gpus(runs, 4);
  runs[1].config.parallel.dp = 2;
  EXPECT_EQ(with_devices({}, runs, 8).jobs, 4);
  EXPECT_EQ(with_devices({.jobs = 1, .cores = 0}, runs, 8).jobs, 1);
  EXPECT_EQ(with_devices({.jobs = 0, .cores = 1}, runs, 8).jobs, 0);
  EXPECT_EQ(with_devices({}, runs, 0).jobs, 1);
}

/// Sweeps whose runs are shell scripts that write down their devices.
class DevicesOfRuns : public testing::Test {
 protected:
  /// A run ends once the condition `until` of the shell holds. Each line: begin or end, the run,
  /// its devices, in the order of the moments.
  std::vector<std::string> run(const std::vector<SweepRun>& runs, Names devices,
                               const std::string& until, std::int64_t jobs) {
    const fs::path program = scratch / "program";
    write_file(program,
               fmt::format("#!/bin/bash\ncd {}\nname=$(basename \"$4\")\nexec 9>>lock\n"
                           "say() {{ flock 9; echo \"$1 $name [$CUDA_VISIBLE_DEVICES]\" >>said; "
                           "flock -u 9; }}\nsay begin\nuntil {}; do sleep 0.01; done\nsay end\n"
                           "mkdir -p \"$4\"\necho '{{\"steps\": 1}}' >\"$4/result.json\"\n",
                           scratch.path().string(), until));
    fs::permissions(program, fs::perms::owner_all);
    const SweepFolder folder = make_folder(scratch / "sweep");
    write_folder(folder, "", runs);
    const Lease lease = Lease::take(folder.path(), 0);
    const StopSignal signals;
    std::FILE* nowhere = std::fopen("/dev/null", "w");
    SweepTable table(nowhere);
    const LocalRequest request{{.jobs = jobs, .cores = 0}, program, {}, std::move(devices)};
    EXPECT_EQ(run_locally(folder, runs, request, lease, signals, table), kFinished);
    std::fclose(nowhere);
    std::vector<std::string> lines;
    std::istringstream in(read_file(scratch / "said"));
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
  ScratchFolder scratch{memory_folder()};
};

TEST_F(DevicesOfRuns, AreTheirsAlone) {
  const std::vector<std::string> lines =
      run(on_gpus(tiny_runs(5, scratch.path()), 2), {"a", "b", "c", "d", "e"},
          "[[ $(grep -c begin said) -ge 2 ]]", 4);
  ASSERT_EQ(lines.size(), 10u);
  std::multiset<char> taken;
  std::size_t most = 0;
  for (const std::string& line : lines) {
    const std::string devices = line.substr(line.find('[') + 1, 3);
    ASSERT_EQ(devices[1], ',') << line;
    for (const char device : {devices[0], devices[2]}) {
      if (line.starts_with("begin")) {
        taken.insert(device);
        EXPECT_EQ(taken.count(device), 1u) << line;
      } else {
        taken.erase(device);
      }
    }
    most = std::max(most, taken.size());
  }
  EXPECT_EQ(most, 4u) << "two runs of two at a time; the fifth device is left";
}

TEST_F(DevicesOfRuns, AreWaitedForInOrderAndTheCpuSeesNone) {
  std::vector<SweepRun> runs = on_gpus(tiny_runs(4, scratch.path()), 1);
  runs[1].config.parallel.dp = 2;  // waits for run 1, and run 3 does not overtake it
  runs[3].config.device = "cpu";
  const std::vector<std::string> lines = run(runs, {"a", "b"}, "grep -q 'begin seed-4' said", 3);
  const auto at = [&](const std::string& line) {
    const auto found = std::find(lines.begin(), lines.end(), line);
    EXPECT_NE(found, lines.end()) << line;
    return found - lines.begin();
  };
  EXPECT_LT(at("begin seed-4 []"), at("end seed-1 [a]"));
  EXPECT_LT(at("end seed-1 [a]"), at("begin seed-2 [a,b]"));
  EXPECT_LT(at("end seed-2 [a,b]"), at("begin seed-3 [a]"));
}

}  // namespace
}  // namespace mixspan
