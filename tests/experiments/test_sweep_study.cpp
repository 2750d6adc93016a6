// Studies fill the grid by themselves; a search is led by losses.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "core/error.h"
#include "experiments/cost/flops.h"
#include "experiments/sweep/search.h"
#include "tests/experiments/sweep_files.h"

namespace mixspan {
namespace {

using test::names_of;
using test::SweepFolder;
using Texts = std::vector<std::string>;

/// What the study's key takes, in the order of the runs.
Texts values_of(const std::string& study, const std::string& key = "model.full_layers") {
  Texts values;
  for (const SweepRun& run : SweepFolder().runs("[study]\n" + study)) {
    std::string text = test::value_of(run, key);
    text.erase(std::remove(text.begin(), text.end(), '"'), text.end());
    values.push_back(text);
  }
  return values;
}

TEST(SweepStudy, PlacementIsEveryStrategyWithEveryCountBetweenNoneAndAll) {
  EXPECT_EQ(values_of("kind = \"placement\"\ncounts = [1, 3]\n"),
            (Texts{"none", "bottom:1", "middle:1", "top:1", "spaced:1", "bottom:3", "middle:3",
                   "top:3", "spaced:3", "all"}));
  EXPECT_EQ(values_of("kind = \"placement\"\ncounts = 2\nstrategies = [\"top\"]\n"),
            (Texts{"none", "top:2", "all"}));
}

TEST(SweepStudy, CountIsOneStrategyWithEveryCount) {
  EXPECT_EQ(values_of("kind = \"count\"\nstrategy = \"spaced\"\ncounts = {from = 0, to = 4}\n"),
            (Texts{"none", "spaced:1", "spaced:2", "spaced:3", "spaced:4"}));
}

TEST(SweepStudy, SpanIsHowShort) {
  EXPECT_EQ(values_of("kind = \"span\"\nwindows = {from = 4, to = 16, times = 2}\n", "model.span"),
            (Texts{"sliding:4", "sliding:8", "sliding:16"}));
  EXPECT_EQ(values_of("kind = \"span\"\nspans = [\"block:8\", \"full\"]\n", "model.span"),
            (Texts{"block:8", "full"}));
}

TEST(SweepStudy, LeaveOneOutIsThePlacementAndAllItLosesInTurn) {
  EXPECT_EQ(values_of("kind = \"leave-one-out\"\nplacement = \"top:3\"\n"),
            (Texts{"top:3", "2,3", "1,3", "1,2"}));
  EXPECT_EQ(values_of("kind = \"leave-one-out\"\nplacement = \"2\"\n"), (Texts{"2", "none"}));
}

TEST(SweepStudy, IsAnAxisOfTheGrid) {
  const std::vector<SweepRun> runs = SweepFolder().runs(
      "seeds = 2\n[study]\nkind = \"count\"\nstrategy = \"top\"\ncounts = [1, 4]\n[grid]\n"
      "model.span = [\"sliding:4\", \"block:8\"]\n[[exclude]]\nmodel.full_layers = \"top:4\"\n"
      "model.span = \"block:8\"\n");
  EXPECT_EQ(runs.size(), 6u);
  EXPECT_EQ(runs.front().settings.front().key, "model.full_layers");
  // Adding a count leaves the names that were there.
  const Texts more = names_of(SweepFolder().runs(
      "seeds = 2\n[study]\nkind = \"count\"\nstrategy = \"top\"\ncounts = [0, 4, 1]\n[grid]\n"
      "model.span = [\"sliding:4\", \"block:8\"]\n"));
  for (const std::string& name : names_of(runs)) {
    EXPECT_NE(std::find(more.begin(), more.end(), name), more.end()) << name;
  }
}

// Layers of each model of the grid, not of the base.
TEST(SweepStudy, KnowsTheLayersOfEachModel) {
  Texts values;
  for (const SweepRun& run : SweepFolder().runs(
           "[study]\nkind = \"leave-one-out\"\nplacement = \"top:2\"\n[grid]\nmodel.layers = [2, "
           "4]\n")) {
    values.push_back(test::value_of(run, "model.full_layers"));
  }
  EXPECT_EQ(values, (Texts{"\"top:2\"", "\"1\"", "\"0\"", "\"top:2\"", "\"3\"", "\"2\""}));
}

TEST(SweepStudy, Mistakes) {
  const SweepFolder folder;
  const auto refused = [&](const std::string& text) { return folder.refused("[study]\n" + text); };
  EXPECT_EQ(refused("counts = 1\n"),
            "sweep.toml:3: study.kind: missing; wanted one of \"placement\", \"count\", \"span\", "
            "\"leave-one-out\", \"search\"");
  EXPECT_EQ(refused("kind = \"places\"\n"),
            "sweep.toml:4: study.kind: wanted one of \"placement\", \"count\", \"span\", "
            "\"leave-one-out\", \"search\", got \"places\"");
  EXPECT_EQ(refused("kind = \"placement\"\nspans = 1\n"),
            "sweep.toml:5: study.spans: unknown key; a study of kind \"placement\" has counts and "
            "strategies");
  EXPECT_EQ(refused("kind = \"placement\"\n"),
            "sweep.toml:3: study.counts: missing; wanted a value, such as counts = [1, 2, 4]");
  EXPECT_EQ(refused("kind = \"placement\"\ncounts = [4]\n"),
            "sweep.toml:3: study.counts: 4 full layers of 4; wanted fewer: none and all are always "
            "run");
  EXPECT_EQ(refused("kind = \"placement\"\ncounts = [1, 1]\n"),
            "sweep.toml:5: study.counts: 1 is given twice; wanted each value once");
  EXPECT_EQ(refused("kind = \"placement\"\ncounts = [1]\nstrategies = [\"low\"]\n"),
            "sweep.toml:6: study.strategies: wanted bottom, middle, top or spaced, got \"low\"");
  EXPECT_EQ(refused("kind = \"count\"\nstrategy = \"top\"\ncounts = [5]\n"),
            "sweep.toml:3: study.counts: 5 full layers of 4; wanted at most all of them");
  EXPECT_EQ(refused("kind = \"span\"\n"),
            "sweep.toml:3: study: wanted one of spans = [\"sliding:64\", \"block:128\"] and "
            "windows = [32, 64]");
  EXPECT_EQ(refused("kind = \"span\"\nspans = [\"slide:1\"]\n"),
            "sweep.toml:5: study.spans: span \"slide:1\": wanted full, sliding:W, block:B or "
            "block-prev:B");
  EXPECT_EQ(refused("kind = \"leave-one-out\"\nplacement = \"none\"\n"),
            "sweep.toml:3: study.placement: \"none\" has no full layer to leave out");
  EXPECT_EQ(refused("kind = \"search\"\nbudget = 1.5\n"),
            "sweep.toml:5: study.budget: wanted a share of the all-full model's attention, more "
            "than 0 and at most 1, got 1.5");
  EXPECT_EQ(refused("kind = \"search\"\nbudget = 0.3\n"),
            "sweep.toml:3: study.budget: 0.3 leaves no room for one full layer more than \"none\" "
            "has; wanted at least 0.4246");
  EXPECT_EQ(refused("kind = \"search\"\nbudget = 1\nstart = \"all\"\n"),
            "sweep.toml:3: study.start: \"all\" has all 4 layers already; wanted one that can "
            "grow");
  EXPECT_EQ(refused("kind = \"span\"\nwindows = 4\n[grid]\nmodel.span = \"full\"\n"),
            "sweep.toml:7: model.span: line 3 varies this key too; wanted it once");
  EXPECT_EQ(refused("kind = \"search\"\nbudget = 0.5\n[[exclude]]\nmodel.full_layers = "
                    "\"none\"\n[grid]\ntrain.seed = 1\n"),
            "sweep.toml:7: model.full_layers: a filter on what the search decides; wanted other "
            "keys");
}

// By hand for 64 tokens: 2080 pairs in a full layer, 484 in sliding:8.
TEST(SweepSearch, AttentionIsCountedInPairs) {
  ModelConfig model;
  model.layers = 4;
  model.context = 64;
  model.span = "sliding:8";
  model.full_layers = "none";
  EXPECT_DOUBLE_EQ(attention_share(model), 484.0 / 2080);
  model.full_layers = "1,3";
  EXPECT_DOUBLE_EQ(attention_share(model), (2 * 484.0 + 2 * 2080) / (4 * 2080));
  model.spans = {"full", "full", "full", "full"};
  EXPECT_DOUBLE_EQ(attention_share(model), 1);
  for (const std::string span : {"sliding:5", "block:10", "block-prev:7"}) {
    model.spans.assign(4, span);
    double pairs = 0;
    for (std::int64_t i = 0; i < 64; ++i) {
      for (std::int64_t j = 0; j < 64; ++j) pairs += parse_span(span).allows(i, j) ? 1 : 0;
    }
    EXPECT_DOUBLE_EQ(attention_share(model), pairs / 2080) << span;
  }
}

/// Each layer is worth something, and the sum makes the loss.
double loss_with(const std::string& name, const std::vector<double>& worth) {
  const std::string_view list = std::string_view(name).substr(12, name.find(',') - 12);
  double loss = 10;
  for (std::size_t l = 0; l < worth.size(); ++l) {
    if (list != "none" && list.find(std::to_string(l)) != list.npos) loss -= worth[l];
  }
  return loss;
}

/// Runs a search to its end; every call is asked twice. The placements in the order of the runs.
using NamedLoss = std::function<std::optional<double>(const std::string& name)>;
Texts searched(const SweepFile& file, const NamedLoss& loss_of, std::size_t* rounds = nullptr) {
  std::map<std::string, double> finished;
  const LossOf known = [&](const SweepRun& run) -> std::optional<double> {
    const auto found = finished.find(run.name);
    return found == finished.end() ? std::nullopt : std::optional(found->second);
  };
  Texts names;
  for (;;) {
    const Texts now = names_of(file.runs(known));
    EXPECT_EQ(now, names_of(file.runs(known)));
    for (const std::string& name : names) {  // it only grows
      EXPECT_NE(std::find(now.begin(), now.end(), name), now.end()) << name;
    }
    if (now == names) return names;
    names = now;
    for (const std::string& name : names) {
      if (const auto loss = loss_of(name)) finished[name] = *loss;
    }
    if (rounds != nullptr) ++*rounds;
  }
}

TEST(SweepSearch, AddsTheBestLayerUntilTheBudgetIsUsed) {
  const SweepFile file = SweepFolder().load("[study]\nkind = \"search\"\nbudget = 0.65\n");
  EXPECT_TRUE(file.is_search());
  std::size_t rounds = 0;
  const auto loss = [](const std::string& name) {
    return loss_with(name + ",", {0.1, 0.2, 0.9, 0.3});
  };
  EXPECT_EQ(searched(file, loss, &rounds),
            (Texts{"full_layers=none", "full_layers=0", "full_layers=1", "full_layers=2",
                   "full_layers=3", "full_layers=0+2", "full_layers=1+2", "full_layers=2+3"}));
  EXPECT_EQ(rounds, 2u);
}

TEST(SweepSearch, GoesToAllLayersWhereTheBudgetLets) {
  const SweepFile file =
      SweepFolder().load("[study]\nkind = \"search\"\nbudget = 1\nstart = \"top:1\"\n");
  const Texts names = searched(file, [](const std::string& name) {
    return loss_with(name + ",", {1, 2, 3, 4});
  });
  EXPECT_EQ(names, (Texts{"full_layers=3", "full_layers=0+3", "full_layers=1+3", "full_layers=2+3",
                          "full_layers=0+2+3", "full_layers=1+2+3", "full_layers=0+1+2+3"}));
}

TEST(SweepSearch, TiesGoToTheLowerLayerAndNoNumberLoses) {
  const SweepFile file = SweepFolder().load("[study]\nkind = \"search\"\nbudget = 0.65\n");
  const Texts ties = searched(file, [](const std::string&) { return 1.0; });
  EXPECT_EQ(ties[5], "full_layers=0+1");
  const Texts diverged = searched(file, [](const std::string& name) {
    return name == "full_layers=0" ? std::numeric_limits<double>::quiet_NaN() : 7.0;
  });
  EXPECT_EQ(diverged[5], "full_layers=0+1");  // beside layer 1
  EXPECT_EQ(diverged[6], "full_layers=1+2");
  const Texts none =
      searched(file, [](const std::string&) { return std::numeric_limits<double>::quiet_NaN(); });
  EXPECT_EQ(none[5], "full_layers=0+1");
}

TEST(SweepSearch, TheMeanOverSeedsDecidesAndOneMissingRunHoldsItsRound) {
  const SweepFile file =
      SweepFolder().load("seeds = 2\n[study]\nkind = \"search\"\nbudget = 0.65\n");
  // Layer 0 is best for seed 1, layer 3 on average.
  const auto loss = [](const std::string& name) -> std::optional<double> {
    if (name == "full_layers=0,seed=1") return 1;
    if (name == "full_layers=0,seed=2") return 9;
    return name.starts_with("full_layers=3,") ? 2 : 6;
  };
  const Texts names = searched(file, loss);
  ASSERT_EQ(names.size(), 16u);
  EXPECT_EQ(names[10], "full_layers=0+3,seed=1");
  EXPECT_EQ(names[11], "full_layers=0+3,seed=2");
  const Texts held = searched(file, [&](const std::string& name) {
    return name == "full_layers=2,seed=2" ? std::nullopt : loss(name);
  });
  EXPECT_EQ(held.size(), 10u);
}

TEST(SweepSearch, IsMadeForEachCombinationByItself) {
  const SweepFile file = SweepFolder().load(
      "[study]\nkind = \"search\"\nbudget = 0.65\n[grid]\ntrain.seed = [4, 5]\nmodel.span = "
      "[\"sliding:8\", \"sliding:2\"]\n");
  const Texts names = searched(file, [](const std::string& name) -> std::optional<double> {
    const bool eight = name.find("sliding-8") != name.npos;
    return name.find(eight ? "=3," : "=1,") != name.npos ? 1 : 2;
  });
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
  ASSERT_EQ(names.size(), 32u);
  EXPECT_EQ(names[10], "span=sliding-8,full_layers=0+3,seed=4");
  EXPECT_EQ(names[26], "span=sliding-2,full_layers=0+1,seed=4");
}

TEST(SweepSearch, NeedsEvaluationData) {
  EXPECT_EQ(SweepFolder().refused("[set]\ndata.train = \"corpus.h5\"\ndata.eval_fraction = 0\n"
                                  "[study]\nkind = \"search\"\nbudget = 0.5\n"),
            "sweep.toml:6: study.kind: a search needs evaluation data, and data.eval_fraction is "
            "0; wanted data.eval or a share of data.train");
}

}  // namespace
}  // namespace mixspan
