// `mixspan scale` as a user runs it: a study of short runs, its summary, its section of the report.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "experiments/report/report.h"
#include "experiments/sweep/scale_summary.h"
#include "experiments/sweep/sweep_options.h"
#include "tests/experiments/sweep_files.h"
#include "tests/support/program.h"

namespace mixspan {
namespace {

constexpr const char* kStudy = R"([base.model]
layers = 2
width = 32
heads = 2
span = "sliding:8"
[base.data]
train = "synthetic:recall:distance=32,pairs=4,values=8"
[base.train]
batch_tokens = 256
[grid]
model.full_layers = ["none", "bottom:1"]
model.context = [64, 128]
parallel.cp = [1, 2]
[[exclude]]
model.context = 64
parallel.cp = 2
[extrapolate]
model.context = [128, 256]
[scale]
warmup_steps = 1
steps = 2
)";

MachineFile a_machine() {
  MachineFile machine;
  machine.name = "m";
  machine.gemm_flops = machine.attention_flops = machine.memory_bandwidth = 1e9;
  machine.memory_bytes = 1 << 30;
  machine.inside = machine.between = {1, 1e9};
  return machine;
}

class Scale : public testing::Test {
 protected:
  Scale() { test::write_file(study, kStudy); }
  SweepFile load(const std::string& text = kStudy) const {
    test::write_file(study, text);
    return SweepFile::load(study, {}, SweepKind::scale);
  }
  std::string refused(std::string from, const std::string& to) const {
    std::string text = kStudy;
    text.replace(text.find(from), from.size(), to);
    const std::string message = test::refusal([&] { load(text); });
    return message.substr(message.find("study.toml"));
  }
  const test::ScratchFolder folder{test::memory_folder()};
  const std::filesystem::path study = folder / "study.toml";
};

TEST_F(Scale, RunsAreShortAndTraced) {
  const SweepFile file = load();
  const std::vector<SweepRun> runs = file.runs([](const SweepRun&) { return std::nullopt; });
  ASSERT_EQ(runs.size(), 6u);
  for (const SweepRun& run : runs) {
    EXPECT_EQ(run.config.train.steps, 3);
    EXPECT_EQ(run.config.log.every_steps, 1);
    EXPECT_EQ(run.config.log.trace, "trace.json");
  }
  // 128 with one and two ranks is run; 64 of the grid does not come back.
  std::set<std::int64_t> contexts;
  for (const SweepRun& run : file.extrapolated()) contexts.insert(run.config.model.context);
  EXPECT_EQ(contexts, std::set<std::int64_t>{256});
  EXPECT_EQ(file.extrapolated().size(), 4u);
}

TEST_F(Scale, MeasuresFitsExtrapolatesAndReports) {
  const std::string out = folder / "out";
  const test::ProgramResult r = test::mixspan({"scale", study, "--out", out});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  for (const char* words :
       {"plans are for", "seconds per sequence grow as context^", "~ not run"}) {
    EXPECT_NE(r.out.find(words), std::string::npos) << words << " in " << r.out;
  }
  const ScaleSummary s = read_scale_summary(folder / "out/scale.json");
  ASSERT_EQ(s.rows.size(), 10u);
  for (const ScaleRow& row : s.rows) {
    EXPECT_EQ(row.kind,
              row.context == 256 ? ScaleRow::Kind::extrapolated : ScaleRow::Kind::measured);
    EXPECT_GT(row.step_ms, 0) << row.run;
    EXPECT_GT(row.plan_step_ms, 0);
    if (row.kind != ScaleRow::Kind::measured) continue;
    EXPECT_LE(row.low_ms, row.step_ms);
    EXPECT_GE(row.high_ms, row.step_ms);
    EXPECT_GT(row.memory_bytes.value(), 0);
    // Two ranks exchange what the layers read of each other; the first holds both ends (zigzag).
    EXPECT_EQ(row.comm_bytes.value().cp > 0, row.mesh.find("cp 2") != std::string::npos) << row.run;
    ASSERT_TRUE(row.parts) << row.run;
    EXPECT_GT(row.parts->matmul, 0);
    EXPECT_GT(row.parts->rest, 0);
    EXPECT_GT(row.parts->short_attention, 0);
    EXPECT_EQ(row.parts->full_attention > 0, row.variant.find("bottom") != std::string::npos);
  }
  // Two lengths on one rank, of two variants: time and memory of each.
  EXPECT_EQ(s.fits.size(), 4u);
  EXPECT_EQ(to_json(s), test::read_file(folder / "out/scale.json"));
  const std::string csv = test::read_file(folder / "out/scale.csv");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 11);

  write_report({folder / "out", folder / "out/report.html"});
  const std::string page = test::read_file(folder / "out/report.html");
  for (const char* words : {">Scaling<", "extrapolated", "full attention", "grow as context"}) {
    EXPECT_NE(page.find(words), std::string::npos) << words;
  }
  EXPECT_TRUE(
      std::filesystem::exists(folder / "out/report/step-time-measured-planned-extrapolated.svg"));

  // Nothing is left to run; the summary is written again.
  const test::ProgramResult again = test::mixspan({"scale", study, "--out", out});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(read_scale_summary(folder / "out/scale.json").rows[0].step_ms, s.rows[0].step_ms);
}

TEST_F(Scale, WhatItExtrapolatesIsWhatARunThenSendsAndHolds) {
  const auto rows_of = [&](const std::string& name) {
    const test::ProgramResult r = test::mixspan({"scale", study, "--out", folder / name});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    return read_scale_summary(folder / name / "scale.json").rows;
  };
  const std::vector<ScaleRow> predicted = rows_of("predicted");
  std::string text = kStudy;
  for (const auto& [from, to] : {std::pair{"[64, 128]\nparallel", "[256]\nparallel"},
                                 {"[extrapolate]\nmodel.context = [128, 256]\n", ""},
                                 {"[[exclude]]\nmodel.context = 64\nparallel.cp = 2\n", ""}}) {
    text.replace(text.find(from), std::string(from).size(), to);
  }
  test::write_file(study, text);
  const std::vector<ScaleRow> measured = rows_of("measured");
  ASSERT_EQ(measured.size(), 4u);
  for (const ScaleRow& row : measured) {
    const auto same = [&](const ScaleRow& other) {
      return other.context == row.context && other.variant == row.variant && other.mesh == row.mesh;
    };
    const auto before = std::find_if(predicted.begin(), predicted.end(), same);
    ASSERT_NE(before, predicted.end()) << row.run;
    EXPECT_EQ(before->kind, ScaleRow::Kind::extrapolated);
    EXPECT_EQ(row.comm_bytes.value().cp, before->plan_comm_bytes.cp) << row.run;
    EXPECT_EQ(row.comm_bytes.value().dp, before->plan_comm_bytes.dp) << row.run;
    const double held = static_cast<double>(row.memory_bytes.value()) /
                        static_cast<double>(before->memory_bytes.value());
    EXPECT_NEAR(held, 1, 0.2) << row.run;  // so small a process is mostly the program itself
  }
}

TEST_F(Scale, ASummaryBeforeAnythingRanSaysSo) {
  const ScaleSummary s = summarize(plan_scale(load(), a_machine()), folder / "nowhere");
  ASSERT_EQ(s.rows.size(), 6u);  // nothing to extrapolate from
  for (const ScaleRow& row : s.rows) {
    EXPECT_EQ(row.kind, ScaleRow::Kind::waiting);
    EXPECT_TRUE(std::isnan(row.step_ms));
  }
  EXPECT_TRUE(s.fits.empty());
}

TEST_F(Scale, ExtrapolatesAVariantByItsOwnRunsWhateverTheOrderOfTheKeys) {
  std::string text = kStudy;
  const std::string from = "[extrapolate]\n";
  text.replace(text.find(from), from.size(), from + "model.full_layers = [\"none\"]\n");
  const ScalePlan plan = plan_scale(load(text), a_machine());
  ASSERT_EQ(plan.beyond.size(), 2u);
  for (const ScalePoint& p : plan.beyond) {
    EXPECT_TRUE(std::any_of(plan.points.begin(), plan.points.end(), [&](const ScalePoint& run) {
      return run.variant == p.variant;
    })) << p.variant;
  }
}

TEST_F(Scale, TheMachineIsBesideTheStudyOrGiven) {
  std::filesystem::create_directory(folder / "sub");
  const std::filesystem::path file = folder / "sub/study.toml";
  test::write_file(file, std::string(kStudy) + "machine = \"m.toml\"\n");
  const test::ProgramResult beside = test::mixspan({"scale", file, "--dry-run"});
  EXPECT_EQ(beside.exit_code, 2);
  EXPECT_NE(beside.err.find("sub/m.toml"), std::string::npos) << beside.err;
  const std::string h100 = MIXSPAN_SOURCE_DIR "/experiments/recipes/machines/h100x8.toml";
  const test::ProgramResult given = test::mixspan({"scale", file, "--dry-run", "--machine", h100});
  EXPECT_EQ(given.exit_code, 0) << given.err;
  EXPECT_NE(given.out.find("h100x8"), std::string::npos) << given.out;
  const std::string out = folder / "out";
  const test::ProgramResult run = test::mixspan({"scale", file, "--machine", h100, "--out", out});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(read_scale_summary(folder / "out/scale.json").machine, "h100x8");
}

TEST_F(Scale, WhatCannotBePlannedIsRefusedBeforeAnythingRuns) {
  std::string text = kStudy;
  const std::string from = "synthetic:recall:distance=32,pairs=4,values=8";
  text.replace(text.find(from), from.size(), "gone.h5");
  test::write_file(study, text);
  const std::string out = folder / "never";
  const test::ProgramResult r = test::mixspan({"scale", study, "--out", out});
  EXPECT_EQ(r.exit_code, 2);
  EXPECT_NE(r.err.find("gone.h5"), std::string::npos) << r.err;
  EXPECT_FALSE(std::filesystem::exists(folder / "never"));
}

TEST_F(Scale, Mistakes) {
  EXPECT_EQ(refused("steps = 2", "stepz = 2"),
            "study.toml:21: scale.stepz: unknown key; did you mean scale.steps?");
  EXPECT_EQ(refused("steps = 2", "steps = 0"),
            "study.toml:21: scale.steps: wanted a whole number from 1 to 100000, got 0");
  EXPECT_EQ(refused("parallel.cp = [1, 2]", "parallel.cp = [1, 2]\ntrain.steps = [3, 4]"),
            "study.toml:14: train.steps: a scaling study sets this key itself; wanted it nowhere "
            "here");
  EXPECT_EQ(refused("[extrapolate]\nmodel.context", "[extrapolate]\nmodel.width"),
            "study.toml:18: model.width: is not varied; wanted a key of [grid]");
  test::write_file(study, kStudy);
  const std::string message = test::refusal([&] { SweepFile::load(study); });
  EXPECT_NE(message.find("extrapolate: a section of scaling studies"), std::string::npos)
      << message;
  EXPECT_NE(message.find("mixspan scale"), std::string::npos) << message;
  test::write_file(folder / "scale.json", "{\"machine\": 3}");
  EXPECT_NE(
      test::refusal([&] { read_scale_summary(folder / "scale.json"); }).find("scale.json: not"),
      std::string::npos);
}

}  // namespace
}  // namespace mixspan
