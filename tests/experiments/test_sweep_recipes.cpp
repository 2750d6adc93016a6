// The sweeps of the documents and recipes load, and have as many runs as is said.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <regex>

#include "core/durable_file.h"
#include "experiments/cost/flops.h"
#include "experiments/sweep/sweep_options.h"
#include "tests/experiments/sweep_files.h"

namespace mixspan {
namespace {

const std::filesystem::path kSource = MIXSPAN_SOURCE_DIR;

std::size_t runs_of(const SweepFile& file) {
  return file.runs([](const SweepRun&) { return std::nullopt; }).size();
}

TEST(SweepRecipes, LoadWithTheirRuns) {
  for (const auto& [name, runs] : {std::pair{"placement", 3 * (2 + 2 * 4)},
                                   {"count", 3 * 5},
                                   {"span", 3 * 5},
                                   {"leave-one-out", 3 * 4},
                                   {"search", 2 * 5}}) {
    const auto path = kSource / "experiments/recipes/sweeps" / (std::string(name) + ".toml");
    EXPECT_EQ(runs_of(SweepFile::load(path)), static_cast<std::size_t>(runs)) << name;
  }
}

// Attention of the masformer study in per cent of all full, by its number of full layers: 24
// layers, 8192 tokens, blocks of 1024.
TEST(SweepRecipes, TheMasformerStudyHasItsRunsAtTheirCost) {
  const std::map<std::string, double> want = {{"2", 19.8},   {"4", 27.1},  {"6", 34.4},
                                              {"8", 41.7},   {"12", 56.3}, {"none", 12.5},
                                              {"all", 100.0}};
  const SweepFile study = SweepFile::load(kSource / "experiments/recipes/masformer/study.toml");
  std::map<std::string, int> runs;
  for (const SweepRun& run : study.runs([](const SweepRun&) { return std::nullopt; })) {
    const std::string& placement = run.config.model.full_layers;
    const std::string count = placement.substr(placement.find(':') + 1);
    ++runs[count];
    ASSERT_TRUE(want.contains(count)) << run.name;
    EXPECT_NEAR(100 * attention_share(run.config.model), want.at(count), 0.05) << run.name;
    EXPECT_EQ(run.config.parallel.ranks(), study.slurm().nodes * study.slurm().tasks_per_node);
  }
  EXPECT_EQ(runs, (std::map<std::string, int>{
                      {"2", 4}, {"4", 4}, {"6", 4}, {"8", 4}, {"12", 4}, {"none", 1}, {"all", 1}}));
}

TEST(SweepRecipes, EveryExampleOfTheDocumentLoads) {
  const std::string text = test::read_file(kSource / "docs/sweeps.md");
  const test::ScratchFolder folder;
  std::filesystem::copy_file(kSource / "experiments/recipes/recall.toml", folder / "recall.toml");
  const std::regex example("```toml\n# ([a-z-]+\\.toml): ([0-9]+) runs\n([^`]*)```");
  int examples = 0;
  for (std::sregex_iterator i(text.begin(), text.end(), example), end; i != end; ++i) {
    ++examples;
    const std::string name = (*i)[1];
    test::write_file(folder / name, (*i)[3]);
    EXPECT_EQ(runs_of(SweepFile::load(folder / name)), std::stoul((*i)[2])) << name;
  }
  EXPECT_EQ(examples, 6);
  std::size_t blocks = 0;
  for (std::size_t at = 0; (at = text.find("```toml", at)) != std::string::npos; ++at) ++blocks;
  EXPECT_EQ(blocks, 6u);  // each is an example
}

TEST(SweepRecipes, TheReferenceOfTheKeysIsUpToDate) {
  SweepOptions sweep;
  ScaleOptions scale;
  LocalLaunch local;
  SlurmLaunch slurm;
  const std::string reference = schema_of(sweep, scale, local, slurm).reference_markdown();
  const std::filesystem::path path = kSource / "docs/sweeps.md";
  const std::string text = test::read_file(path), mark = "do not edit. -->\n";
  const std::size_t at = text.find(mark);
  ASSERT_NE(at, std::string::npos);
  const std::string want = text.substr(0, at + mark.size()) + "\n" + reference;
  if (std::getenv("MIXSPAN_UPDATE_DOCS") != nullptr) replace_file(path, want);
  EXPECT_TRUE(test::read_file(path) == want)
      << "docs/sweeps.md is stale; refresh it with\n  MIXSPAN_UPDATE_DOCS=1 "
         "build/cpu-release/tests/test_experiments --gtest_filter='SweepRecipes.*'";
}

}  // namespace
}  // namespace mixspan
