// What a report may compare: the same seeds, each model once, and runs that say what they are.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "experiments/report/figure_parts.h"
#include "experiments/report/layer_effects.h"
#include "experiments/report/ranking.h"
#include "experiments/report/report.h"
#include "tests/experiments/report_runs.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using namespace test;
namespace fs = std::filesystem;

class FairReport : public testing::Test {
 protected:
  Findings study() const { return make_findings(read_runs(out)); }
  static std::size_t index_of(const Findings& s, const std::string& label) {
    for (std::size_t i = 0; i < s.variants.size(); ++i) {
      if (s.variants[i].label == label) return i;
    }
    throw std::runtime_error("no variant " + label);
  }
  void add(const std::string& layers, std::int64_t seed, double loss,
           RunState state = RunState::done, const std::string& error = "") const {
    write_run(
        out / fmt::format("{}-{}", layers, seed),
        {.config = report_config(layers, seed), .state = state, .loss = loss, .error = error});
  }
  /// The run's evaluations are taken out of its metrics, or their losses made null.
  void change_evaluations(const std::string& run, bool remove) const {
    const fs::path file = out / run / "metrics.jsonl";
    std::istringstream in(read_file(file));
    std::string kept;
    for (std::string line; std::getline(in, line);) {
      if (line.find("\"kind\":\"eval\"") != std::string::npos) {
        if (remove) continue;
        const std::size_t at = line.find("\"loss\":") + 7;
        line.replace(at, line.find(',', at) - at, "null");
      }
      kept += line + "\n";
    }
    write_file(file, kept);
  }
  bool noted(const Findings& s, const std::string& text) const {
    return std::any_of(s.notes.begin(), s.notes.end(), [&](const std::string& note) {
      return note.find(text) != std::string::npos;
    });
  }
  std::string page() const {
    write_report({out, out / "report.html"});
    return read_file(out / "report.html");
  }
  const ScratchFolder folder{memory_folder()};
  const fs::path out = [this] {
    fs::create_directory(folder / "sweep");
    return folder / "sweep";
  }();
};

/// Seed 2 is the hard one; "top:1" looks better than "bottom:1" only because it failed there.
TEST_F(FairReport, RanksOverTheSeedsThatAllHaveCounted) {
  for (const auto& [layers, loss] : std::vector<std::pair<std::string, double>>{
           {"none", 3.0}, {"bottom:1", 2.0}, {"all", 1.9}}) {
    add(layers, 1, loss);
    add(layers, 2, loss + 1);
  }
  add("top:1", 1, 2.2);
  add("top:1", 2, 9, RunState::failed, "step 3: loss nan is not finite");
  const Findings s = study();
  const std::size_t bottom = index_of(s, "bottom:1"), top = index_of(s, "top:1");
  EXPECT_LT(s.variants[top].loss->value, s.variants[bottom].loss->value);
  const Ranking ranking = rank(s, {bottom, top});
  EXPECT_EQ(ranking.shared, 1u);
  EXPECT_EQ(ranking.seeds, 2u);
  EXPECT_EQ(ranking.losses[0]->value, 2.0);
  EXPECT_EQ(ranking.losses[1]->value, 2.2);
  const std::vector<Figure> maps = layer_maps(s);
  ASSERT_EQ(maps.size(), 1u);
  EXPECT_EQ(std::get<HeatMap>(maps[0].drawing).rows,
            (std::vector<std::string>{"all", "bottom:1", "top:1", "none"}));
  EXPECT_NE(maps[0].caption.find("over the 1 of 2 seeds"), std::string::npos) << maps[0].caption;
  EXPECT_TRUE(noted(s, "top:1-2 diverged: step 3"));
  EXPECT_NE(page().find("1 of 2 seeds"), std::string::npos);
}

TEST_F(FairReport, WithoutCommonSeedsIncompleteVariantsAreNotRanked) {
  for (const std::int64_t seed : {1, 2}) add("none", seed, 3);
  add("top:1", 1, 2);
  add("top:1", 2, 9, RunState::failed);
  add("bottom:1", 2, 1);
  add("bottom:1", 1, 9, RunState::failed);
  const Findings s = study();
  const Ranking ranking =
      rank(s, {index_of(s, "none"), index_of(s, "top:1"), index_of(s, "bottom:1")});
  EXPECT_EQ(ranking.shared, 0u);
  EXPECT_EQ(ranking.losses[0]->value, 3);
  EXPECT_FALSE(ranking.losses[1] || ranking.losses[2]);
  const std::vector<Figure> maps = layer_maps(s);
  ASSERT_EQ(maps.size(), 1u);
  const auto& map = std::get<HeatMap>(maps[0].drawing);
  EXPECT_EQ(map.rows[0], "none");
  EXPECT_NE(maps[0].caption.find("not ranked"), std::string::npos);
}

TEST_F(FairReport, NoEvaluationIsNotADivergedOne) {
  add("none", 1, 3);
  add("none", 2, 3);
  change_evaluations("none-1", true);
  change_evaluations("none-2", true);
  EXPECT_TRUE(noted(study(), "2 runs are done but evaluated nothing"));
  EXPECT_NE(page().find("No finished run evaluated anything"), std::string::npos);
  add("none", 2, 3);
  change_evaluations("none-2", false);
  EXPECT_TRUE(noted(study(), "none-2 is done but diverged"));
  EXPECT_TRUE(noted(study(), "1 run is done but evaluated nothing"));
  EXPECT_NE(page().find("has a finite evaluation loss"), std::string::npos);
}

TEST_F(FairReport, ARunWhoseProcessIsGoneIsNotCalledRunning) {
  write_run(out / "dead",
            {.config = report_config("none", 1), .state = RunState::running, .job_id = ""});
  const Findings s = study();
  EXPECT_EQ(s.runs[0].state, "interrupted");
  EXPECT_NE(s.runs[0].problem.find("is gone"), std::string::npos) << s.runs[0].problem;
  EXPECT_TRUE(noted(s, "1 run is interrupted"));
}

TEST_F(FairReport, OneRunThatCannotBeReadIsOneRunsTrouble) {
  add("none", 1, 3);
  add("all", 1, 2);
  const fs::path file = out / "all-1/metrics.jsonl";
  fs::remove(file);
  fs::create_directory(file);
  EXPECT_TRUE(noted(study(), "1 run is unreadable"));
  fs::remove(file);
  fs::create_symlink("metrics.jsonl", file);  // leads to itself
  const Findings s = study();
  EXPECT_EQ(s.runs[0].state, "unreadable");
  EXPECT_NE(s.runs[0].problem.find("cannot be opened"), std::string::npos) << s.runs[0].problem;
  EXPECT_EQ(s.runs[1].state, "done");
}

}  // namespace
}  // namespace mixspan
