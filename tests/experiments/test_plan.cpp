// Plans of a large model against figures worked by hand, and what is said of plans that cannot be.
#include "experiments/cost/plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "experiments/run/exit_code.h"
#include "tests/support/program.h"

namespace mixspan {
namespace {

const std::string kMachines = MIXSPAN_SOURCE_DIR "/experiments/recipes/machines/";

/// GPT-Neo 1.3B at 32768 tokens on 8 ranks, 4 of 24 layers full.
PlanRequest large() {
  PlanRequest r;
  r.model.layers = 24;
  r.model.width = 2048;
  r.model.heads = 16;
  r.model.context = 32768;
  r.model.vocab = 50257;
  r.model.span = "sliding:256";
  r.model.full_layers = "bottom:4";
  r.parallel.cp = 8;
  r.step = {.batch_rows = 8, .micro_rows = 1};
  r.machine = load_machine_file(kMachines + "h100x8.toml");
  return r;
}

// The published comparison counts 2 bytes a number (MB forward: ring 234.9, all-to-all 58.7, halo
// 4.2); fp32 has 4.
TEST(Plan, BytesOfEachTransportAreThePublishedTimesTwo) {
  const PlanRequest r = large();
  const SequenceLayout layout(LayoutKind::zigzag, 32768, 8);
  const ExchangeSetting setting{layout, {1, 16, 128, 4}, 1, false, r.machine};
  for (const TransportCost& c : transport_costs(SlidingSpan{256}, setting)) {
    const double mega = static_cast<double>(c.bytes.forward) / 1e6;
    const double want = c.transport == Transport::halo         ? 2 * 4.2
                        : c.transport == Transport::all_to_all ? 2 * 58.7
                                                               : 2 * 234.9;
    EXPECT_NEAR(mega, want, 0.1) << str(c.transport);
  }
}

TEST(Plan, MixedSpansMoveAFifthOfWhatARingMoves) {
  PlanRequest r = large();
  const RunPlan mixed = make_plan(r);
  const double block = 4096 * 2 * 2048 * 4, halo = 2 * 255 * 2 * 2048 * 4;  // 4 bytes a number
  ASSERT_EQ(mixed.layers.size(), 24u);
  EXPECT_EQ(mixed.layers[3].exchange.cost.transport, Transport::ring);
  EXPECT_EQ(mixed.layers[4].exchange.cost.transport, Transport::halo);
  EXPECT_EQ(mixed.layers[4].exchange.cost.exposed_s, 0);
  EXPECT_EQ(static_cast<double>(mixed.bytes.cp), 8 * (4 * 21 * block + 20 * 2 * halo));
  r.parallel.transport = "ring";
  const RunPlan ring = make_plan(r);
  EXPECT_EQ(static_cast<double>(ring.bytes.cp), 8.0 * 24 * 21 * block);
  EXPECT_LE(mixed.bytes.cp, ring.bytes.cp / 5);
  r.parallel.transport = "all_to_all";
  const RunPlan heads = make_plan(r);
  const std::int64_t ring_and_all_to_all = ring.bytes.cp / 24 * 4 + heads.bytes.cp / 24 * 20;
  EXPECT_LT(mixed.bytes.cp, ring_and_all_to_all);
  EXPECT_LT(mixed.time.total(), ring.time.total());
  EXPECT_LT(mixed.time.total(), heads.time.total());
}

TEST(Plan, FlopsOfALayerAreItsShareOfTheModels) {
  const PlanRequest r = large();
  const RunPlan plan = make_plan(r);
  const ModelFlops all = count_flops(r.model, 32768, 50257);
  EXPECT_DOUBLE_EQ(plan.layers[0].flops.projections, all.layers[0].projections / 8);
  EXPECT_DOUBLE_EQ(plan.layers[0].flops.mlp, all.layers[0].mlp / 8);
  EXPECT_DOUBLE_EQ(plan.layers[0].flops.attention, all.layers[0].attention / 8);  // zigzag is even
  EXPECT_NEAR(plan.layers[9].flops.attention, all.layers[9].attention / 8,
              0.01 * all.layers[9].attention / 8);
  EXPECT_DOUBLE_EQ(plan.model_flops, 8 * all.model());
}

TEST(Plan, ATimeIsWhatTheMachineNeeds) {
  PlanRequest r = large();
  r.parallel.cp = 1;
  r.machine.memory_bandwidth = 1e30;
  const RunPlan plan = make_plan(r);
  const ModelFlops all = count_flops(r.model, 32768, 50257);
  const double dense = 3 * (all.forward() - all.attention()) / r.machine.gemm_flops;
  const double attention = 3.5 * all.attention() / r.machine.attention_flops;
  EXPECT_NEAR(plan.time.total(), 8 * (dense + attention), 1e-9 * plan.time.total());
  EXPECT_DOUBLE_EQ(plan.tokens_per_s, 8 * 32768 / plan.time.total());
  EXPECT_EQ(plan.bytes.cp + plan.bytes.tp + plan.bytes.dp, 0);
  double again = 0;
  for (const LayerFlops& layer : all.layers) again += layer.projections + layer.mlp / 2;
  again /= r.machine.gemm_flops;
  r.model.recompute = "products";
  EXPECT_NEAR(make_plan(r).time.total(), 8 * (dense + attention + again), 1e-9 * plan.time.total());
  r.model.recompute = "full";
  EXPECT_NEAR(make_plan(r).time.total(),
              8 * (dense + attention + again + all.attention() / r.machine.attention_flops),
              1e-9 * plan.time.total());
}

TEST(Plan, TensorAndDataParallelBytesAreTheClosedForms) {
  PlanRequest r = large();
  r.parallel.cp = 1;
  r.parallel.dp = 2;
  r.parallel.tp = 4;
  const double hidden = 32768.0 * 2048 * 4;
  // Two regions a layer, each gathers and scatters; backward gathers once more for each.
  EXPECT_DOUBLE_EQ(static_cast<double>(make_plan(r).bytes.tp),
                   4 * 0.75 * hidden * (24 * (4 + 6) + 4));
  for (const char* again : {"products", "full"}) {  // but for the MLP's scattering
    r.model.recompute = again;
    EXPECT_DOUBLE_EQ(static_cast<double>(make_plan(r).bytes.tp),
                     4 * 0.75 * hidden * (24 * (4 + 3 + 6) + 4));
  }
  r.model.recompute = "selective";
  const RunPlan plan = make_plan(r);
  // Gradients, weights, and two numbers.
  EXPECT_EQ(plan.bytes.dp, 2 * plan.memory.gradients / 2 + 2 * 8);
  r.parallel.sequence_parallel = false;
  EXPECT_DOUBLE_EQ(static_cast<double>(make_plan(r).bytes.tp),
                   4 * 0.75 * hidden * (24 * (4 + 4) + 4));
  r.model.recompute = "products";
  EXPECT_DOUBLE_EQ(static_cast<double>(make_plan(r).bytes.tp),
                   4 * 0.75 * hidden * (24 * (4 + 2 + 4) + 4));
}

TEST(FeasiblePlan, RefusesInOneLineWithMeshesThatWouldDo) {
  PlanRequest r = large();
  const auto refused = [&](std::int64_t ranks = 0) {
    return test::refusal([&] { make_feasible_plan(r, ranks); });
  };
  EXPECT_EQ(refused(16),
            "parallel: dp 1 x cp 8 x tp 1 is 8 ranks, not 16; of 16 ranks these would do: dp 2 x "
            "cp 8 x tp 1, dp 1 x cp 16 x tp 1, dp 1 x cp 8 x tp 2");
  r.parallel.cp = 1;
  r.parallel.tp = 6;
  EXPECT_EQ(refused(),
            "parallel.tp = 6 does not divide model.heads = 16; wanted one that does; of 6 ranks "
            "these would do: dp 1 x cp 3 x tp 2, dp 2 x cp 3 x tp 1, dp 1 x cp 6 x tp 1");
  r.parallel.tp = 1;
  r.parallel.dp = 8;
  r.model.recompute = "none";
  // 1.38 G parameters twice and an eighth of twice that; 16 results of (32768, 2048) a layer, rows
  // of the MLP's 16 numbers longer; seven eighths of the gradients of the embeddings and three
  // layers.
  EXPECT_EQ(refused().substr(0, 65),
            "parallel: 118.4 GB for each rank do not fit the 80.0 GB of h100x8");
  EXPECT_NE(refused().find("of 8 ranks these would do: dp 4 x cp 2 x tp 1"), std::string::npos)
      << refused();
  r.machine.memory_bytes = 1000;
  EXPECT_NE(refused().find("; no mesh of 8 ranks would do"), std::string::npos) << refused();
}

class PlanCommand : public testing::Test {
 protected:
  PlanCommand() {
    test::write_file(folder_ / "run.toml",
                     "[model]\nlayers = 3\nwidth = 64\nheads = 4\ncontext = 128\nspan = "
                     "\"sliding:8\"\nfull_layers = \"bottom:1\"\n[data]\ntrain = "
                     "\"synthetic:recall\"\n[train]\nbatch_tokens = 1024\n");
  }
  test::ProgramResult plan(std::vector<std::string> more) {
    std::vector<std::string> arguments{"plan", folder_ / "run.toml", "--machine",
                                       kMachines + "cpu.toml"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return test::mixspan(arguments);
  }
  test::ScratchFolder folder_;
};

std::vector<std::string> keys_of(const nlohmann::ordered_json& j) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : j.items()) keys.push_back(key);
  return keys;
}

TEST_F(PlanCommand, JsonHasTheKeysThatScriptsRead) {
  const test::ProgramResult r =
      plan({"--json", "--set", "parallel.cp=2", "--set", "parallel.dp=2", "--ranks", "4"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  const auto j = nlohmann::ordered_json::parse(r.out);
  using Keys = std::vector<std::string>;
  EXPECT_EQ(keys_of(j),
            (Keys{"machine", "ranks", "mesh", "layout", "micro_rows", "micro_batches", "layers",
                  "memory", "bytes", "step_ms", "time_ms", "tokens_per_s", "model_flops", "mfu"}));
  EXPECT_EQ(keys_of(j["layers"][0]),
            (Keys{"layer", "span", "transport", "bytes_forward", "bytes_backward", "flops_forward",
                  "compute_ms", "transfer_ms", "exposed_ms", "reason"}));
  EXPECT_EQ(keys_of(j["memory"]), (Keys{"weights", "gradients", "optimizer", "activations",
                                        "scratch", "exchange", "sums", "total"}));
  EXPECT_EQ(keys_of(j["bytes"]), (Keys{"cp", "tp", "dp"}));
  EXPECT_EQ(keys_of(j["time_ms"]), (Keys{"compute", "memory", "cp", "tp", "dp"}));
  EXPECT_EQ(j["ranks"], 4);
  EXPECT_EQ(j["layers"].size(), 3u);
  EXPECT_EQ(j["layers"][1]["transport"], "halo");
}

TEST_F(PlanCommand, PrintsALineForEachLayer) {
  const test::ProgramResult r = plan({"--set", "parallel.cp=4"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  for (const char* text : {"4 ranks of two cores: dp 1 x cp 4 x tp 1, zigzag", "    0  full",
                           "    2  sliding:8", "memory of a rank: ", "tokens/s"}) {
    EXPECT_NE(r.out.find(text), std::string::npos) << text << "\n" << r.out;
  }
}

TEST_F(PlanCommand, RefusesWhatCannotBe) {
  const auto refused = [&](std::vector<std::string> more) {
    const test::ProgramResult r = plan(std::move(more));
    EXPECT_EQ(r.exit_code, kUsage);
    EXPECT_EQ(r.out, "");
    return r.err;
  };
  EXPECT_EQ(refused({"--set", "parallel.tp=3"}),
            "mixspan: parallel.tp = 3 does not divide model.heads = 4; wanted one that does; of 3 "
            "ranks these would do: dp 1 x cp 3 x tp 1\n");
  EXPECT_NE(refused({"--set", "data.train=none.h5"}).find("model.vocab=N"), std::string::npos);
  EXPECT_NE(refused({"--set", "parallel.transport=mail"}).find("parallel.transport"),
            std::string::npos);
  EXPECT_NE(refused({"--ranks", "0"}).find("--ranks"), std::string::npos);
}

}  // namespace
}  // namespace mixspan
