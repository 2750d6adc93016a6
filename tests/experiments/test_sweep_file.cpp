// From a sweep file to its runs: products, ranges, zips, filters, names.
#include "experiments/sweep/sweep_file.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/error.h"
#include "experiments/sweep/run_name.h"
#include "tests/experiments/sweep_files.h"

namespace mixspan {
namespace {

using test::names_of;
using test::SweepFolder;
using Names = std::vector<std::string>;

TEST(SweepFile, AGridIsAProductForOneSeedAfterTheOther) {
  const std::vector<SweepRun> runs = SweepFolder().runs(
      "seeds = 2\n[set]\ntrain.steps = 7\n[grid]\n\"model.full_layers\" = [\"none\", "
      "\"bottom:1\"]\noptimizer.lr = [1e-3, 2e-4]\n");
  EXPECT_EQ(
      names_of(runs),
      (Names{"full_layers=none,seed=1,lr=0.001", "full_layers=none,seed=1,lr=0.0002",
             "full_layers=bottom-1,seed=1,lr=0.001", "full_layers=bottom-1,seed=1,lr=0.0002",
             "full_layers=none,seed=2,lr=0.001", "full_layers=none,seed=2,lr=0.0002",
             "full_layers=bottom-1,seed=2,lr=0.001", "full_layers=bottom-1,seed=2,lr=0.0002"}));
  const SweepRun& last = runs.back();
  EXPECT_EQ(last.config.model.full_layers, "bottom:1");
  EXPECT_EQ(last.config.optimizer.lr, 2e-4);
  EXPECT_EQ(last.config.train.seed, 2);
  EXPECT_EQ(last.config.train.steps, 7);
  EXPECT_EQ(last.config.model.width, 64);
  EXPECT_EQ(last.settings, (std::vector<Setting>{{"train.seed", "2"},
                                                 {"model.full_layers", "\"bottom:1\""},
                                                 {"optimizer.lr", "0.0002"}}));
}

// What a setting says is what --set takes: the run can be made by hand.
TEST(SweepFile, SettingsAreWhatSetTakes) {
  const SweepFolder folder;
  for (const SweepRun& run :
       folder.runs("[grid]\nmodel.spans = [[\"full\", \"sliding:8\", \"full\", \"block:16\"], []]\n"
                   "optimizer.lr = [1, 0.1234567890123456789]\nlog.tensorboard = [true, false]\n"
                   "train.max_time = [\"\", \"2h\"]\ntrain.seed = 3\n")) {
    std::vector<std::string> sets;
    for (const Setting& s : run.settings) sets.push_back(s.key + "=" + s.value);
    EXPECT_EQ(load_run_config(folder.path().parent_path() / "base.toml", sets), run.config)
        << run.name;
  }
}

TEST(SweepFile, TheBaseMayStandInTheFile) {
  const SweepFolder folder;
  std::string sections;
  for (const std::string section : {"model", "data", "train"}) {
    const std::string text = test::kBase;
    const std::size_t begin = text.find("[" + section + "]");
    const std::size_t end = std::min(text.find("\n[", begin), text.size());
    sections += "[base." + text.substr(begin + 1, end - begin) + "\n";
  }
  const std::string grid = "[grid]\ntrain.seed = [1, 2]\n";
  const SweepFile inside = folder.load_whole(sections + grid);
  const auto none = [](const SweepRun&) { return std::nullopt; };
  const std::vector<SweepRun> a = inside.runs(none), b = folder.runs(grid);
  ASSERT_EQ(names_of(a), names_of(b));
  EXPECT_EQ(a[1].config, b[1].config);
  EXPECT_EQ(inside.name(), "sweep");
  EXPECT_FALSE(inside.is_search());
  EXPECT_EQ(inside.text(), sections + grid);
}

TEST(SweepFile, IsNamedByItsFileWhereItHasNoName) {
  const SweepFolder folder;
  const auto name_of = [&](const std::string& file) {
    folder.load("[grid]\ntrain.seed = 1\n");
    const std::filesystem::path path = folder.path().parent_path() / file;
    std::filesystem::copy_file(folder.path(), path);
    return SweepFile::load(path).name();
  };
  EXPECT_EQ(name_of("first-try_2.b.toml"), "first-try_2.b");
  EXPECT_EQ(name_of("my sweep#1.toml"), "my-sweep-1");
  EXPECT_EQ(name_of("-x.toml"), "sweep-x");
}

TEST(SweepFile, SetsOverrideTheBase) {
  const SweepFile file = SweepFolder().load(
      "name = \"mine\"\n[set]\ntrain.steps = 7\noptimizer.lr = 0.5\n[grid]\ntrain.seed = 1\n"
      "[local]\njobs = 3\n[slurm]\ntime = \"1:00:00\"\nsbatch = [\"--exclusive\"]\n",
      {"train.steps=9"});
  const SweepRun run = file.runs(nullptr).front();
  EXPECT_EQ(run.config.train.steps, 9);
  EXPECT_EQ(run.config.optimizer.lr, 0.5);
  EXPECT_EQ(file.name(), "mine");
  EXPECT_EQ(file.local().jobs, 3);
  EXPECT_EQ(file.slurm().time, "1:00:00");
  EXPECT_EQ(file.slurm().sbatch, std::vector<std::string>{"--exclusive"});
  EXPECT_EQ(file.slurm().srun, std::vector<std::string>{"--mpi=pmix"});
}

/// The values of `key` in a grid of it alone.
Names values_of(const std::string& key, const std::string& text) {
  Names values;
  for (const SweepRun& run : SweepFolder().runs("[grid]\n" + key + " = " + text + "\n")) {
    values.push_back(test::value_of(run, key));
  }
  return values;
}

TEST(SweepFile, RangesNameTheirNumbers) {
  EXPECT_EQ(values_of("train.seed", "{from = 1, to = 7, step = 3}"), (Names{"1", "4", "7"}));
  EXPECT_EQ(values_of("train.seed", "{from = 1, to = 6, step = 3}"), (Names{"1", "4"}));
  EXPECT_EQ(values_of("train.seed", "{from = 0, to = 2}"), (Names{"0", "1", "2"}));
  EXPECT_EQ(values_of("train.seed", "{from = 5, to = 5}"), (Names{"5"}));
  EXPECT_EQ(values_of("train.seed", "{from = 3, to = 30, times = 3}"), (Names{"3", "9", "27"}));
  EXPECT_EQ(values_of("optimizer.lr", "{from = 0.1, to = 0.5, step = 0.1}"),
            (Names{"0.1", "0.2", "0.3", "0.4", "0.5"}));
  EXPECT_EQ(values_of("optimizer.lr", "{from = 1e-4, to = 1e-2, times = 10}"),
            (Names{"0.0001", "0.001", "0.01"}));
  EXPECT_EQ(values_of("optimizer.lr", "{from = 1, to = 3}"), (Names{"1.0", "2.0", "3.0"}));
}

TEST(SweepFile, ZippedKeysChangeTogetherAndMultiplyWithTheRest) {
  const std::vector<SweepRun> runs = SweepFolder().runs(
      "[grid]\ntrain.seed = [1, 2, 3]\n[[zip]]\nmodel.context = [64, 128]\ntrain.batch_tokens = "
      "{from = 256, to = 512, times = 2}\n[[zip]]\nmodel.heads = [1, 2]\noptimizer.lr = [0.1, "
      "0.2]\n");
  ASSERT_EQ(runs.size(), 12u);
  for (const SweepRun& run : runs) {
    EXPECT_EQ(run.config.train.batch_tokens, 4 * run.config.model.context);
    EXPECT_EQ(run.config.optimizer.lr, run.config.model.heads == 1 ? 0.1 : 0.2);
  }
}

TEST(SweepFile, FiltersDropAndKeep) {
  const std::string grid =
      "[grid]\nmodel.full_layers = [\"none\", \"bottom:1\", \"all\"]\ntrain.seed = [1, 2]\n";
  const auto names = [&](const std::string& filters) {
    return names_of(SweepFolder().runs(grid + filters));
  };
  EXPECT_EQ(names("[[exclude]]\ntrain.seed = 2\nmodel.full_layers = [\"none\", \"all\"]\n"),
            (Names{"full_layers=none,seed=1", "full_layers=bottom-1,seed=1",
                   "full_layers=bottom-1,seed=2", "full_layers=all,seed=1"}));
  EXPECT_EQ(names("[[only]]\ntrain.seed = 2\n[[exclude]]\nmodel.full_layers = \"all\"\n"),
            (Names{"full_layers=none,seed=2", "full_layers=bottom-1,seed=2"}));
  EXPECT_EQ(names("[[only]]\nmodel.full_layers = \"all\"\n[[only]]\ntrain.seed = 1\n"
                  "model.width = 64\n"),
            (Names{"full_layers=none,seed=1", "full_layers=bottom-1,seed=1",
                   "full_layers=all,seed=1", "full_layers=all,seed=2"}));
}

// A filter may drop what would not be valid.
TEST(SweepFile, FiltersComeBeforeValidation) {
  const std::string grid =
      "[grid]\nmodel.heads = [4, 8]\nparallel.tp = [1, 8]\ntrain.batch_tokens = 256\n";
  EXPECT_EQ(SweepFolder().refused(grid),
            "sweep.toml:5: run heads=4,batch_tokens=256,tp=8: parallel.tp = 8 does not divide "
            "model.heads = 4; wanted one that does");
  EXPECT_EQ(SweepFolder().runs(grid + "[[exclude]]\nmodel.heads = 4\nparallel.tp = 8\n").size(),
            3u);
}

TEST(SweepFile, NamesAreThoseOfTheRunAlone) {
  const SweepFolder folder;
  const auto names = [&](const std::string& grid) {
    Names all = names_of(folder.runs("[grid]\n" + grid));
    EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), all.size());
    return std::set<std::string>(all.begin(), all.end());
  };
  const auto a = names("train.seed = 1\nmodel.span = [\"sliding:4\", \"block:8\"]\n");
  const auto more = names(
      "model.span = [\"full\", \"block:8\", \"sliding:4\"]\ntrain.seed = [2, "
      "1]\n");
  EXPECT_EQ(a, (std::set<std::string>{"span=sliding-4,seed=1", "span=block-8,seed=1"}));
  EXPECT_EQ(more.size(), 6u);
  EXPECT_TRUE(std::includes(more.begin(), more.end(), a.begin(), a.end()));
}

TEST(SweepFile, NamesSuitFolders) {
  const std::vector<SweepRun> runs = SweepFolder().runs(
      "[grid]\nmodel.full_layers = [\"0,2\", \"1\"]\neval.every_steps = 5\nlog.every_steps = 5\n"
      "log.trace = [\"\", \"../a b/\\u00e9.json\"]\n");
  EXPECT_EQ(runs[0].name, "full_layers=0+2,eval.every_steps=5,log.every_steps=5,trace=empty");
  EXPECT_EQ(runs[1].name,
            "full_layers=0+2,eval.every_steps=5,log.every_steps=5,trace=..-ab---.json");
}

TEST(SweepFile, LongNamesAreCutAndStayApart) {
  const std::string a(150, 'a');
  const std::string grid = fmt::format(
      "[grid]\ntrain.init_from = [\"{0}x\", \"{0}y\"]\nlog.trace = [\"{0}1\", \"{0}2\"]\n", a);
  const Names names = names_of(SweepFolder().runs(grid));
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), 4u);
  for (const std::string& name : names) EXPECT_EQ(name.size(), kLongestName);
  EXPECT_EQ(names, names_of(SweepFolder().runs(grid)));
}

TEST(SweepFile, AThousandRunsAreAThousandNames) {
  const SweepFolder folder;
  const std::vector<SweepRun> runs = folder.runs(
      "[grid]\nmodel.full_layers = [\"none\", \"bottom:1\", \"middle:1\", \"top:1\", \"all\"]\n"
      "model.span = [\"sliding:4\", \"sliding:8\", \"block:8\", \"block-prev:8\"]\n"
      "optimizer.lr = [1e-3, 2e-3, 3e-3, 4e-3, 5e-3]\ntrain.seed = {from = 1, to = 10}\n");
  ASSERT_EQ(runs.size(), 1000u);
  const Names names = names_of(runs);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), 1000u);
  for (const std::string& name : names) {
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789-_.,=+"),
              std::string::npos)
        << name;
  }
}

}  // namespace
}  // namespace mixspan
