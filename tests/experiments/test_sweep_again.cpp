// A sweep that is started once more, from another folder or with another base, and one that is
// refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "experiments/run/exit_code.h"
#include "experiments/sweep/data_paths.h"
#include "tests/experiments/sweep_fixture.h"
#include "tests/support/program.h"

namespace mixspan {
namespace {

using namespace test;
namespace fs = std::filesystem;

// Planned for a machine that need not be measured.
const std::string kDryRun =
    "--dry-run --machine " MIXSPAN_SOURCE_DIR "/experiments/recipes/machines/h100x8.toml";

class SweepAgain : public testing::Test {
 protected:
  void base(const std::string& data, int steps = 2) const {
    std::string text = fmt::format(kTinyBase, steps);
    const std::string from = "synthetic:recall:distance=16,pairs=2";
    write_file(at("base.toml"), text.replace(text.find(from), from.size(), data));
  }
  void sweep(const std::string& rest) const {
    write_file(at("s.toml"), "[sweep]\nbase = \"base.toml\"\n" + rest);
  }
  std::string at(const std::string& name) const { return scratch / name; }
  /// `mixspan sweep`, started in `folder` of the scratch folder.
  ProgramResult start_in(const std::string& folder, const std::string& more = "") const {
    return Program({"/bin/sh", "-c",
                    fmt::format("cd {} && exec {} sweep {} --out {} {}", at(folder), mixspan_path(),
                                at("s.toml"), at("out"), more)})
        .wait();
  }
  /// Every file below `folder` with its text.
  static std::map<std::string, std::string> files_of(const fs::path& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      files[entry.path()] = entry.is_directory() ? "a folder" : read_file(entry.path());
    }
    return files;
  }
  ScratchFolder scratch{memory_folder()};
};

TEST_F(SweepAgain, FromAnotherFolderItReadsTheSameData) {
  fs::create_directories(at("first"));
  fs::create_directories(at("second"));
  base("corpus.h5");
  sweep("seeds = 1\n[grid]\nmodel.full_layers = [\"none\"]\n");
  const auto prepare = [&](const std::string& folder) {
    const std::string corpus = at(folder) + "/corpus.h5";
    return mixspan(
               {"prepare", MIXSPAN_SOURCE_DIR "/LICENSE", "--out", corpus, "--tokenizer", "byte"})
        .exit_code;
  };
  // Where no run could begin, the next start may be elsewhere.
  EXPECT_EQ(start_in("second").exit_code, kFailure);
  ASSERT_EQ(prepare("first"), 0);
  EXPECT_EQ(start_in("first").exit_code, 0);

  sweep("seeds = 2\n[grid]\nmodel.full_layers = [\"none\"]\n");
  const ProgramResult planned = start_in("second", kDryRun);
  EXPECT_EQ(planned.out.find("cannot run"), std::string::npos) << planned.out << planned.err;
  const ProgramResult again = start_in("second");
  EXPECT_EQ(again.exit_code, 0) << again.out << again.err;
  EXPECT_NE(again.out.find("2 runs: 2 done"), std::string::npos) << again.out;

  fs::rename(at("first"), at("third"));
  const ProgramResult gone = start_in("second");
  EXPECT_EQ(gone.exit_code, kUsage);
  EXPECT_EQ(std::count(gone.err.begin(), gone.err.end(), '\n'), 1) << gone.err;
  EXPECT_NE(gone.err.find("launch.working_dir"), std::string::npos) << gone.err;
}

TEST_F(SweepAgain, PathsOfDataBeginAtAFolderTasksDoNot) {
  DataConfig data;
  data.train = "a/b.h5";
  data.eval = "/c.h5";
  EXPECT_EQ(data_from("/x", data).train, "/x/a/b.h5");
  EXPECT_EQ(data_from("/x", data).eval, "/c.h5");
  data.train = "synthetic:recall";
  data.eval = "";
  EXPECT_EQ(data_from("/x", data), data);
}

TEST_F(SweepAgain, ASearchIsNotLedByLossesOfAnotherBase) {
  base("synthetic:recall:distance=16,pairs=2");
  sweep("[study]\nkind = \"search\"\nbudget = 1\n");
  ASSERT_EQ(start_in(".").exit_code, 0);
  const auto has_second_round = [&](const std::string& set) {
    const ProgramResult r = start_in(".", kDryRun + " --set " + set);
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_NE(r.out.find("full_layers=1 "), std::string::npos) << r.out;
    return r.out.find("full_layers=0+1 ") != std::string::npos;
  };
  EXPECT_TRUE(has_second_round("log.every_steps=2"));
  EXPECT_TRUE(has_second_round("parallel.dp=2"));
  EXPECT_FALSE(has_second_round("optimizer.lr=0.5"));
  EXPECT_FALSE(has_second_round("eval.rows=8")) << "these runs are evaluated anew";
}

TEST_F(SweepAgain, ARefusedSubmissionLeavesNothingBehind) {
  fs::create_directories(at("bin"));
  for (const char* name : {"sbatch", "squeue", "scancel", "scontrol"}) {
    write_file(fs::path(at("bin")) / name,
               "#!/bin/sh\n[ ${0##*/} = sbatch ] || exit 0\necho no such partition >&2\nexit 1\n");
    fs::permissions(fs::path(at("bin")) / name, fs::perms::owner_all);
  }
  const auto submit = [&] {
    return Program({"/usr/bin/env", "PATH=" + at("bin") + ":/usr/bin:/bin", mixspan_path(), "sweep",
                    at("s.toml"), "--out", at("new/out"), "--launcher", "slurm"})
        .wait();
  };
  base("synthetic:recall:distance=16,pairs=2");
  sweep("[grid]\ntrain.seed = [1, 2]\n");
  const ProgramResult r = submit();
  EXPECT_EQ(r.exit_code, kUsage);
  EXPECT_NE(r.err.find("no such partition"), std::string::npos) << r.err;
  EXPECT_FALSE(fs::exists(at("new"))) << "it was not there before";

  ASSERT_EQ(mixspan({"sweep", at("s.toml"), "--out", at("new/out")}).exit_code, 0);
  const auto before = files_of(at("new"));
  sweep("[set]\neval.rows = 8\n[grid]\ntrain.seed = [2, 3]\n");
  EXPECT_EQ(submit().exit_code, kUsage);
  EXPECT_EQ(files_of(at("new")), before) << "a sweep that was to have other runs";
}

}  // namespace
}  // namespace mixspan
