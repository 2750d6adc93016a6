// Sweep files that are wrong: one line each, with file and line, before anything starts.
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/text.h"
#include "tests/experiments/sweep_files.h"
#include "tests/support/program.h"

namespace mixspan {
namespace {

using test::SweepFolder;

struct Mistake {
  std::string text, message;
};

void expect_all(const std::vector<Mistake>& mistakes) {
  const SweepFolder folder;
  for (const Mistake& m : mistakes) {
    EXPECT_EQ(folder.refused(m.text), "sweep.toml" + m.message) << m.text;
  }
}

// The text begins in line 3.
TEST(SweepFileMistakes, OfSectionsAndTheBase) {
  expect_all({
      {"", ": nothing is varied; wanted [grid], [[zip]], [study] or [sweep] seeds"},
      {"[gird]\n", ":3: gird: unknown section; did you mean grid?"},
      {"[matrix]\n",
       ":3: matrix: unknown section; the sections are [sweep], [base], [set], [grid], [[zip]], "
       "[[exclude]], [[only]], [study], [local], [slurm]"},
      {"[exclude]\ntrain.seed = 1\n",
       ":3: exclude: wanted [[exclude]], a section that may come more than once"},
      {"[[grid]]\ntrain.seed = 1\n",
       ":3: grid: wanted one section, [grid], got a list of sections"},
      {"[grid]\n", ":3: grid: wanted at least one key, such as \"train.seed\" = [1, 2, 3]"},
      {"seed = 3\n", ":3: sweep.seed: unknown key; did you mean sweep.seeds?"},
      {"seeds = 0\n", ":3: sweep.seeds: wanted a whole number from 1 to 10000, got 0"},
      {"seeds = [1, 2]\n", ":3: sweep.seeds: wanted a whole number from 1 to 10000, got [ 1, 2 ]"},
      {"name = \"../x\"\n",
       ":3: sweep.name: wanted up to 100 letters, digits, \"-\", \"_\" and \".\", a letter first"},
      {"[base.model]\nlayers = 2\n",
       ": wanted one of [sweep] base = \"FILE.toml\" and sections such as [base.model], got both"},
      {"[set]\ntrain.step = 3\n[grid]\ntrain.seed = 1\n",
       ":4: train.step: unknown key; did you mean train.steps?"},
      {"[set]\ntrain.seed = 3\n[grid]\ntrain.seed = 1\n",
       ":4: train.seed: in [set], but line 6 varies it; wanted one of the two"},
  });
  const SweepFolder folder;
  EXPECT_EQ(folder.refused_whole("[grid]\ntrain.seed = 1\n"),
            "sweep.toml: wanted one of [sweep] base = \"FILE.toml\" and sections such as "
            "[base.model], got neither");
  EXPECT_EQ(folder.refused_whole("[sweep]\nbase = \"gone.toml\"\n[grid]\ntrain.seed = 1\n"),
            "gone.toml: cannot be opened: No such file or directory");
  EXPECT_EQ(folder.refused_whole("[base.modle]\nlayers = 2\n[grid]\ntrain.seed = 1\n"),
            "sweep.toml:1: modle: unknown section; did you mean [model]?");
  EXPECT_EQ(folder.refused_whole("[base.model]\nlayers = 2.5\n[grid]\ntrain.seed = 1\n"),
            "sweep.toml:2: model.layers: wanted a whole number from 1 to 4096, got 2.5");
  EXPECT_EQ(folder.refused_whole("[base.model]\nlayers = 2\n[grid]\ntrain.seed = 1\n"),
            "sweep.toml: run seed=1: data.train: missing; wanted a text that is not empty, such as "
            "train = \"corpus.h5\" under [data]");
  EXPECT_EQ(folder.refused("[grid]\ntrain.seed = 1\n", {"train.seed=2"}),
            "--set train.seed=2: sweep.toml:4 varies train.seed; change it there");
  EXPECT_EQ(folder.refused("[grid]\ntrain.seed = 1\n", {"train.sed=2"}),
            "--set train.sed=2: unknown key; did you mean train.seed?");
}

TEST(SweepFileMistakes, OfTheGrid) {
  expect_all({
      {"[grid]\nmodel.layrs = [1]\n", ":4: model.layrs: unknown key; did you mean model.layers?"},
      {"[grid]\nmodel.layers = []\n", ":4: model.layers: an empty list; wanted at least one value"},
      {"[grid]\nmodel.layers = [\n1,\n\"2\"]\n",
       ":6: model.layers: wanted a whole number from 1 to 4096, got \"2\""},
      {"[grid]\nmodel.span = [\"slide:3\"]\n",
       ":4: model.span: span \"slide:3\": wanted full, sliding:W, block:B or block-prev:B"},
      {"[grid]\noptimizer.lr = [1e-3,\n0.001]\n",
       ":5: optimizer.lr: 0.001 is given twice; wanted each value once"},
      {"[grid]\nmodel.layers = 2\n\"model.layers\" = 3\n",
       ":5: model.layers: given twice, also in line 4"},
      {"seeds = 2\n[grid]\ntrain.seed = 1\n",
       ":5: train.seed: line 3 varies this key too; wanted it once"},
      {"[grid]\ntrain.seed = {from = 1}\n",
       ":4: train.seed: wanted a range such as {from = 1, to = 8, step = 1} or {from = 1, to = 8, "
       "times = 2}"},
      {"[grid]\ntrain.seed = {from = 1, until = 2}\n",
       ":4: train.seed: a range has no until; wanted {from = 1, to = 8, step = 1} or {from = 1, to "
       "= 8, times = 2}"},
      {"[grid]\ntrain.seed = {from = 3, to = 2}\n",
       ":4: train.seed: from = 3 is more than to = 2; wanted at most that"},
      {"[grid]\ntrain.seed = {from = 1, to = 2, step = 0}\n",
       ":4: train.seed: wanted step > 0, got 0"},
      {"[grid]\ntrain.seed = {from = 0, to = 8, times = 2}\n",
       ":4: train.seed: wanted from > 0 and times > 1, got from = 0, times = 2"},
      {"[grid]\ntrain.seed = {from = 1, to = \"2\"}\n",
       ":4: train.seed: to: wanted a number, got \"2\""},
      {"[grid]\ntrain.seed = {from = 1, to = 9e18}\n",
       ":4: train.seed: a range of more than 20000 values"},
      {"[grid]\ntrain.seed = {from = 1, to = 4, step = 0.5}\n",
       ":4: train.seed: wanted a whole number >= 0, got 1.0"},
      {"[grid]\nmodel.span = {from = 1, to = 4}\n",
       ":4: model.span: wanted full, sliding:W, block:B or block-prev:B, got 1"},
      {"[grid]\ntrain.seed = {from = 1, to = 200}\ntrain.steps = {from = 1, to = 200}\n",
       ": more than 20000 runs; wanted fewer values"},
      {"[[grid.model]]\nlayers = 1\n", ":3: model: wanted a value, got a list of sections"},
  });
}

TEST(SweepFileMistakes, OfZipsAndFilters) {
  const std::string grid = "[grid]\ntrain.seed = [1, 2]\n";
  expect_all({
      {"[[zip]]\ntrain.seed = [1, 2]\n",
       ":3: zip: wanted two or more keys; one alone belongs in [grid]"},
      {"[[zip]]\ntrain.seed = [1, 2]\ntrain.steps = [1, 2, 3]\n",
       ":5: train.steps: 3 values, but train.seed has 2; keys of a [[zip]] change together"},
      {"[[zip]]\ntrain.seed = [1, 1]\ntrain.steps = [2, 2]\n",
       ":3: zip: the values train.seed = 1 and so on are given twice together"},
      {grid + "[[exclude]]\n",
       ":5: a filter without keys; wanted some, such as \"train.seed\" = 1"},
      {grid + "[[exclude]]\ntrain.seed = 3\n",
       ":6: train.seed: no run has the value 3 of this [[exclude]]"},
      {grid + "[[only]]\ntrain.seed = [1, 3]\n",
       ":6: train.seed: no run has the value 3 of this [[only]]"},
      {grid + "train.steps = [1, 2]\n[[exclude]]\ntrain.seed = 2\n[[exclude]]\ntrain.seed = 1\n",
       ": the filters leave no run; wanted at least one"},
      {"[[zip]]\ntrain.seed = [1, 2]\ntrain.steps = [1, 2]\n[[exclude]]\ntrain.seed = "
       "1\ntrain.steps = 2\n",
       ":6: this [[exclude]] matches no run; wanted one that does"},
      {grid + "[[exclude]]\ntrain.sed = 3\n",
       ":6: train.sed: unknown key; did you mean train.seed?"},
      {grid + "[[exclude]]\ntrain.seed = \"x\"\n",
       ":6: train.seed: wanted a whole number >= 0, got \"x\""},
  });
}

TEST(SweepFileMistakes, OfARunHaveItsNameAndTheLine) {
  expect_all({
      {"[grid]\nmodel.full_layers = [\"none\", \"bottom:9\"]\n",
       ":4: run full_layers=bottom-9: model.full_layers = \"bottom:9\": 9 full layers of 4"},
      {"[set]\ntrain.batch_tokens = 100\n[grid]\ntrain.seed = 1\n",
       ":4: run seed=1: train.batch_tokens = 100 is not a multiple of model.context = 64; wanted "
       "one, such as 128"},
      {"[set]\nmodel.spans = [\"full\", \"full\", \"full\", \"full\"]\n[grid]\nmodel.span = "
       "\"full\"\n",
       ":6: run span=full: model.span has no effect, because model.spans is set and replaces it"},
      {"[grid]\nlog.trace = [\"a:b\", \"a/b\"]\n",
       ": two runs have the same name trace=a-b: log.trace = \"a:b\" and log.trace = \"a/b\"; "
       "wanted values that differ in letters or digits"},
  });
  const SweepFolder folder;
  EXPECT_EQ(folder.refused("[grid]\ntrain.seed = 1\n", {"train.batch_tokens=100"}),
            "--set train.batch_tokens=100: run seed=1: train.batch_tokens = 100 is not a multiple "
            "of model.context = 64; wanted one, such as 128");
}

TEST(SweepFileMistakes, OfLaunchers) {
  const std::string grid = "[grid]\ntrain.seed = 1\n[slurm]\n";
  const std::string times = "wanted minutes, M:S, H:M:S, D-H, D-H:M or D-H:M:S";
  expect_all({
      {"[grid]\ntrain.seed = 1\n[local]\njobs = -1\n",
       ":6: local.jobs: wanted a whole number from 0 to 4096, got -1"},
      {grid + "time = \"2h\"\n", ":6: slurm.time: time \"2h\": " + times},
      {grid + "time = \"1:2:3:4\"\n", ":6: slurm.time: time \"1:2:3:4\": " + times},
      {grid + "time = \"-5\"\n", ":6: slurm.time: time \"-5\": " + times},
      {grid + "time = \"1-\"\n", ":6: slurm.time: time \"1-\": " + times},
      {grid + "time = \"0\"\n", ":6: slurm.time: time \"0\": " + times},
      {grid + "time = \"2\"\n",
       ": slurm.signal_before_s = 120 leaves nothing of a job of slurm.time = \"2\"; wanted less, "
       "or a longer time"},
      {grid + "nodes = -1\n", ":6: slurm.nodes: wanted a whole number from 0 to 65536, got -1"},
      {grid + "mem = \"64 GB\"\n",
       ":6: slurm.mem: wanted megabytes or a number with K, M, G or T, such as \"64G\""},
      {grid + "partition = \"a b\"\n",
       ":6: slurm.partition: wanted a word without blanks, quotes or \"#\""},
      {grid + "partition = \"a\\n#SBATCH --x\"\n",
       ":6: slurm.partition: wanted a word without blanks, quotes or \"#\""},
      {grid + "modules = [\"a; rm -r /\"]\n",
       ":6: slurm.modules: \"a; rm -r /\": wanted names as `module load` takes them, such as "
       "\"openmpi/4.1\""},
      {grid + "setup = [\"a\\nb\"]\n",
       ":6: slurm.setup: \"a\\x0ab\": wanted one line of shell for each text"},
      {grid + "sbatch = [\"exclusive\"]\n",
       ":6: slurm.sbatch: \"exclusive\": wanted options of sbatch, each with its value in one "
       "text, such as \"--exclusive\" or \"--exclude=n7\""},
      {grid + "sbatch = [\"--time=5\"]\n",
       ":6: slurm.sbatch: \"--time=5\": wanted slurm.time for that"},
      {grid + "sbatch = [\"-pdebug\"]\n",
       ":6: slurm.sbatch: \"-pdebug\": wanted slurm.partition for that"},
      {grid + "sbatch = [\"--array=1-3\"]\n",
       ":6: slurm.sbatch: \"--array=1-3\": --array is the sweep's own"},
      {grid + "sbatch = [\"--arr=1-3\"]\n",
       ":6: slurm.sbatch: \"--arr=1-3\": --array is the sweep's own"},
      {grid + "sbatch = [\"--ntasks=2\"]\n",
       ":6: slurm.sbatch: \"--ntasks=2\": --ntasks is the sweep's own"},
      {grid + "sbatch = [\"-W\"]\n", ":6: slurm.sbatch: \"-W\": --wait is the sweep's own"},
      {grid + "sbatch = [\"--chdir=/\"]\n",
       ":6: slurm.sbatch: \"--chdir=/\": --chdir is the sweep's own"},
      {grid + "sbatch = [\"--test-only\"]\n",
       ":6: slurm.sbatch: \"--test-only\": --test-only is the sweep's own"},
      {grid + "srun = [\"hostname\"]\n",
       ":6: slurm.srun: \"hostname\": wanted options of srun, such as \"--mpi=pmix\""},
      {grid + "partitions = \"x\"\n",
       ":6: slurm.partitions: unknown key; did you mean slurm.partition?"},
  });
}

TEST(SweepFileMistakes, TimesAreReadAsSbatchReadsThem) {
  EXPECT_EQ(sbatch_seconds("90"), 5400);
  EXPECT_EQ(sbatch_seconds("90:30"), 5430);
  EXPECT_EQ(sbatch_seconds("1:30:05"), 5405);
  EXPECT_EQ(sbatch_seconds("2-12"), 216000);
  EXPECT_EQ(sbatch_seconds("2-12:30"), 217800);
  EXPECT_EQ(sbatch_seconds("2-12:30:01"), 217801);
}

// Work that grows with the square of the file would need more processor time than it gets.
TEST(SweepFileMistakes, ManyUnknownKeysAreRefusedAtOnceSlow) {
  std::string keys;
  for (int i = 0; i < 85000; ++i) keys += fmt::format("k{:x} = 1\n", i);
  const test::ScratchFolder folder(test::memory_folder());
  const std::string file = folder / "sweep.toml";
  const std::string head = "[sweep]\nseeds = 1\n[base.data]\ntrain = \"synthetic:recall\"\n";
  for (const char* section : {"[grid]\n", "[[exclude]]\n"}) {
    test::write_file(file, head + section + keys);
    const std::string command =
        fmt::format("ulimit -t 3; exec {} sweep {}", test::mixspan_path(), file);
    const test::ProgramResult r = test::Program({"/bin/sh", "-c", command}).wait();
    EXPECT_EQ(r.exit_code, 2) << section << r.err;
    EXPECT_NE(r.err.find("k0: unknown key"), std::string::npos) << r.err;
  }
}

// No input may crash, hang or give more than one line.
TEST(SweepFileMistakes, SurvivesHostileText) {
  const SweepFolder folder;
  const auto repeat = [](const std::string& part, int n) {
    std::string text;
    for (int i = 0; i < n; ++i) text += part;
    return text;
  };
  for (const std::string& text :
       {std::string("[grid]\ntrain.seed = ") + repeat("[", 5000), repeat("[[zip]]\n", 3000),
        "[grid]\ntrain.seed = [" + repeat("{from = 1, to = 9},", 500) + "]\n",
        "[grid]\ntrain.seed = [" + repeat("1,", 100000) + "]\n",
        std::string("[grid]\n\"a\\u0007b\" = 1\n"), std::string("[grid]\n\"\" = 1\n"),
        std::string("[grid]\n\"train\" = 1\n"), std::string("[grid]\ntrain.seed = 1979-05-27\n"),
        std::string("[grid]\ntrain.seed = {from = nan, to = inf}\n"),
        std::string("[grid]\noptimizer.lr = [inf]\n"), std::string("[grid]\ntrain.seed = {}\n"),
        std::string("[grid]\ntrain.seed = {from = 1, to = 9223372036854775807, times = 1e300}\n"
                    "[[exclude]]\ntrain.seed = {a = 1}\n"),
        std::string("zip = [{}, {}]\n"), std::string("[study]\nkind = []\n"),
        std::string("[[exclude]]\nmodel = 1\n"), "[grid]\n\"" + std::string(5000, 'x') + "\" = 1\n",
        std::string("\xff\xfe\x00", 3)}) {
    const std::string message = folder.refused(text);
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_LT(message.size(), 600u) << message;
    EXPECT_TRUE(is_utf8(message));
  }
}

}  // namespace
}  // namespace mixspan
