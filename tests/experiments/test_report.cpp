// `mixspan report` on synthetic sweeps: what it counts, what it says, what it leaves out, and its
// numbers against a recomputation by another program.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "experiments/cost/flops.h"
#include "experiments/report/report.h"
#include "experiments/report/variants.h"
#include "tests/experiments/report_runs.h"
#include "tests/support/program.h"

namespace mixspan {
namespace {

using namespace test;
namespace fs = std::filesystem;

class Report : public testing::Test {
 protected:
  Findings study() const { return make_findings(read_runs(out)); }
  static const Variant& variant(const Findings& s, const std::string& label) {
    for (const Variant& v : s.variants) {
      if (v.label == label) return v;
    }
    throw std::runtime_error("no variant " + label);
  }
  void add(const std::string& name, const RunConfig& config, double loss) const {
    write_run(out / name, {.config = config, .loss = loss});
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

TEST_F(Report, FindsWhatVariesAndWhatStateRunsAreIn) {
  write_sweep(out, 3);
  const Findings s = study();
  EXPECT_EQ(s.keys, (std::vector<std::string>{"model.span", "model.full_layers"}));
  EXPECT_EQ(s.seeds, (std::vector<std::string>{"1", "2", "3"}));
  EXPECT_EQ(s.runs.size(), 54u);
  EXPECT_EQ(s.variants.size(), 18u);
  EXPECT_EQ(s.variants[0].attention_share, 1);
  const Variant& hurt = variant(s, "block:32, top:1");
  EXPECT_EQ(hurt.runs.size(), 3u);
  EXPECT_EQ(hurt.counted.size(), 1u);
  EXPECT_TRUE(std::isnan(hurt.loss->low));
  const auto states = [&](const char* state) {
    return std::count_if(s.runs.begin(), s.runs.end(),
                         [&](const RunRecord& r) { return r.state == state; });
  };
  EXPECT_EQ(states("done"), 51);
  EXPECT_EQ(states("failed"), 1);
  EXPECT_EQ(states("running"), 1);
  EXPECT_EQ(states("not begun"), 1);
}

TEST_F(Report, MeansDifferencesAndBaselines) {
  for (std::int64_t seed = 1; seed <= 3; ++seed) {
    const double s = static_cast<double>(seed);
    add(fmt::format("all{}", seed), report_config("all", seed), 2 + 0.1 * s);
    add(fmt::format("none{}", seed), report_config("none", seed), 2.5 + 0.1 * s + 0.01 * s * s);
    RunConfig wide = report_config("all", seed);
    wide.optimizer.lr = 1e-3;
    add(fmt::format("wide{}", seed), wide, 1);
  }
  const Findings s = study();
  EXPECT_EQ(s.keys, (std::vector<std::string>{"model.full_layers", "optimizer.lr"}));
  const Variant& none = variant(s, "none, lr 0.0003");
  EXPECT_NEAR(none.loss->value, 2.7 + 0.01 * 14 / 3, 1e-12);
  ASSERT_TRUE(none.against_full);
  EXPECT_EQ(s.variants[none.against_full->baseline].label, "all, lr 0.0003");
  EXPECT_NEAR(none.against_full->test.difference.value, 0.5 + 0.01 * 14 / 3, 1e-12);
  EXPECT_EQ(none.against_full->adjusted_p, none.against_full->test.p);  // the only comparison
  EXPECT_FALSE(variant(s, "all, lr 0.001").against_full);
  EXPECT_NEAR(none.perplexity->value, std::exp(none.loss->value), 1e-12);
}

TEST_F(Report, AttentionShareIsTheShareOfPairs) {
  for (const char* span : {"sliding:7", "block:16", "block-prev:16", "sliding:256", "full"}) {
    for (const char* placement : {"none", "bottom:2", "0,5", "all"}) {
      ModelConfig model = report_config(placement, 1).model;
      model.span = span;
      std::int64_t seen = 0, all = 0;
      for (const AnySpan& s : layer_spans(model)) {
        for (std::int64_t i = 0; i < model.context; ++i) {
          for (std::int64_t j = 0; j <= i; ++j) {
            seen += s.allows(i, j) ? 1 : 0;
            ++all;
          }
        }
      }
      EXPECT_NEAR(attention_share(model), static_cast<double>(seen) / static_cast<double>(all),
                  1e-15)
          << span << " " << placement;
    }
  }
}

TEST_F(Report, RepeatedAndUnreadableRunsAreNotCountedAndSaid) {
  add("a", report_config("none", 1), 2);
  add("b", report_config("none", 1), 3);
  add("c", report_config("all", 1), 2);
  write_file(out / "c/metrics.jsonl", "nonsense\n");
  add("d", report_config("top:1", 1), 2);
  write_file(out / "d/config.toml", "[model]\nlayerz = 2\n");
  const Findings s = study();
  EXPECT_EQ(variant(s, "none").counted.size(), 1u);
  EXPECT_EQ(variant(s, "none").loss->value, 2);
  const std::string text = page();
  for (const char* said : {"b repeats the config and seed of a", "metrics.jsonl:1: not a line",
                           "d has no config that can be read", "layerz", "2 runs are unreadable",
                           "one seed: there are no intervals"}) {
    EXPECT_NE(text.find(said), std::string::npos) << said;
  }
}

TEST_F(Report, OneFileThatNeedsNothingElse) {
  write_sweep(out, 3);
  const std::string text = page();
  for (const char* outside : {"http://", "https://", "src=", "@import", "url("}) {
    EXPECT_EQ(text.find(outside), std::string::npos) << outside;
  }
  EXPECT_NE(text.find("the loss is not finite &lt;b&gt;&amp;"), std::string::npos);
  EXPECT_EQ(text.find("finite <b>"), std::string::npos);
  EXPECT_NE(text.find("Holm"), std::string::npos);
  EXPECT_NE(text.find("the power is low"), std::string::npos);
  for (const char* file : {"variants.csv", "runs.csv", "layers.csv", "positions.csv",
                           "loss-against-attention-cost.svg", "what-one-full-layer-is-worth.svg",
                           "training-loss.svg", "evaluation-loss.svg", "loss-by-position.svg"}) {
    EXPECT_TRUE(fs::exists(out / "report" / file)) << file;
  }
  EXPECT_EQ(page(), text);  // and the report is no run
}

TEST_F(Report, OfOneRunAndOfRunsThatHaveNotBegun) {
  add("alone", report_config("none", 1), 2);
  write_report({out / "alone", folder / "one.html"});
  EXPECT_NE(read_file(folder / "one.html").find("<h1>alone</h1>"), std::string::npos);
  fs::create_directories(out / "later/configs");
  write_file(out / "later/configs/x.toml", to_toml(report_config("none", 1)));
  write_report({out / "later", folder / "later.html"});
  const std::string text = read_file(folder / "later.html");
  EXPECT_NE(text.find("1 run is not begun"), std::string::npos);
  EXPECT_NE(text.find("nothing to compare"), std::string::npos);
}

TEST_F(Report, AnotherReportsFolderIsNotEmptied) {
  add("a", report_config("none", 1), 2);
  fs::create_directory(out / "report");
  write_file(out / "report/mine.svg", "mine");
  write_file(out / "report/scaling.csv", "of an earlier report");
  page();
  EXPECT_EQ(read_file(out / "report/mine.svg"), "mine");
  EXPECT_FALSE(fs::exists(out / "report/scaling.csv"));
}

TEST_F(Report, WrongFoldersAreRefusedInOneLine) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"report", out},
                                             {"report", out / "none"},
                                             {"report", out, "--out", out},
                                             {"report", out, "--out", out / "none/x.html"}}) {
    const ProgramResult r = mixspan(arguments);
    EXPECT_EQ(r.exit_code, 2) << r.err;
    EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
  }
}

/// A sweep with every table, the numbers of which another program computes again.
class ReportNumbers : public Report {
 protected:
  void expect_recomputed() {
    if (!fs::exists("/usr/bin/python3")) GTEST_SKIP() << "no python3";
    const ProgramResult made = mixspan({"report", out});
    ASSERT_EQ(made.exit_code, 0) << made.err;
    const ProgramResult r =
        Program({"/usr/bin/python3", MIXSPAN_SOURCE_DIR "/tests/report/recompute.py", out,
                 out / "report"})
            .wait();
    EXPECT_EQ(r.exit_code, 0) << r.out << r.err;
    EXPECT_NE(r.out.find(" 0 different"), std::string::npos) << r.out;
  }
};

TEST_F(ReportNumbers, OfPlacementsEqualARecomputation) {
  write_sweep(out, 4);
  expect_recomputed();
}

TEST_F(ReportNumbers, OfContextsEqualARecomputation) {
  for (const std::int64_t context : {64, 128, 256, 512}) {
    for (const char* placement : {"none", "all"}) {
      for (std::int64_t seed = 1; seed <= 2; ++seed) {
        RunConfig c = report_config(placement, seed);
        c.model.context = context;
        const std::string name = fmt::format("{}-{}-{}", context, placement, seed);
        add(name, c, 3 + 0.1 * noise(name));
      }
    }
  }
  expect_recomputed();
}

TEST_F(ReportNumbers, AChangedTableIsNoticed) {
  if (!fs::exists("/usr/bin/python3")) GTEST_SKIP() << "no python3";
  write_sweep(out, 2);
  page();
  std::string table = read_file(out / "report/variants.csv");
  const std::size_t digit = table.find("2.9");
  ASSERT_NE(digit, std::string::npos);
  table[digit + 3] = table[digit + 3] == '5' ? '6' : '5';
  write_file(out / "report/variants.csv", table);
  EXPECT_EQ(Program({"/usr/bin/python3", MIXSPAN_SOURCE_DIR "/tests/report/recompute.py", out,
                     out / "report"})
                .wait()
                .exit_code,
            1);
}

TEST_F(Report, OfAThousandRunsStaysSmallSlow) {
  const char* placements[] = {"none",     "all",   "bottom:1", "bottom:2", "middle:1",
                              "middle:2", "top:1", "top:2",    "spaced:2", "spaced:3"};
  for (int i = 0; i < 1000; ++i) {
    RunConfig c = report_config(placements[i % 10], 1 + i / 10 % 5);
    c.train.steps = 10000;
    c.model.span = fmt::format("sliding:{}", 8 + i / 50);
    const std::string name = fmt::format("run-{}", i);
    write_run(out / "runs" / name, {.config = c, .loss = 3 + 0.1 * noise(name), .records = 1000});
  }
  write_report({out, out / "report.html"});
  EXPECT_LT(fs::file_size(out / "report.html"), 20u << 20U);
  EXPECT_EQ(study().variants.size(), 200u);
}

}  // namespace
}  // namespace mixspan
