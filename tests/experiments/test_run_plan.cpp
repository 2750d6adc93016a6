// The plan that training follows: a function of the config, told before anything is allocated.
#include "experiments/run/run_plan.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <mutex>

#include "core/error.h"
#include "experiments/cost/reference_machine.h"
#include "parallel/thread_ranks.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using namespace test;

RunConfig long_context() {
  RunConfig c;
  c.model.layers = 4;
  c.model.width = 256;
  c.model.heads = 4;
  c.model.context = 16384;
  c.model.vocab = 512;
  c.model.spans = {"sliding:128", "full", "sliding:128", "block:4096"};
  c.train.batch_tokens = 4 * c.model.context;
  c.parallel.cp = 4;
  c.parallel.layout = "contiguous";
  return c;
}

TEST(RunPlan, TransportsAreChosenByTheReferenceMachine) {
  const RunConfig c = long_context();
  const SequenceLayout layout(LayoutKind::contiguous, c.model.context, 4);
  const RunPlan plan = plan_of(c);
  ASSERT_EQ(plan.layers.size(), 4u);
  const ExchangeSetting setting{
      layout, {plan.micro_rows, 4, 64, 4}, 1, false, reference_machine("cpu").as_seen_by(4)};
  for (const LayerCost& layer : plan.layers) {
    const TransportChoice want = choose_transport(layer.span, setting, "auto");
    EXPECT_EQ(layer.exchange.cost.transport, want.cost.transport);
    EXPECT_EQ(layer.exchange.reason, want.reason);
  }
  EXPECT_EQ(plan.layers[0].exchange.cost.transport, Transport::halo);
  EXPECT_NE(plan.layers[1].exchange.cost.transport, Transport::halo);
  EXPECT_EQ(plan.layers[3].exchange.cost.transport, Transport::local);
}

TEST(RunPlan, SaysWhichLayersMoveHowAndWhy) {
  RunConfig c = long_context();
  const std::vector<std::string> lines = describe_transports(c, plan_of(c));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].find("layer 0 2: sliding:128 by halo (halo "), 0u) << lines[0];
  EXPECT_EQ(lines[2], "layer 3: block:4096 by local (block:4096 never leaves a chunk)");
  c.parallel.transport = "ring";
  EXPECT_EQ(describe_transports(c, plan_of(c))[0],
            "layer 0 2: sliding:128 by ring (as parallel.transport says)");
  c.parallel.cp = 1;
  EXPECT_TRUE(describe_transports(c, plan_of(c)).empty());
}

// The files say what is built in, for `mixspan plan --machine`.
TEST(RunPlan, ReferenceMachinesAreThoseOfTheRecipes) {
  for (const auto& [device, file] : {std::pair{"cpu", "cpu.toml"}, {"cuda", "h100x8.toml"}}) {
    MachineFile built_in = reference_machine(device);
    MachineFile recipe = load_machine_file(
        fmt::format("{}/experiments/recipes/machines/{}", MIXSPAN_SOURCE_DIR, file));
    EXPECT_EQ(schema_of(built_in).to_toml(), schema_of(recipe).to_toml());
  }
}

std::string memory_refusal(const RunConfig& c, std::int64_t machine_bytes) {
  std::string first;
  int refused = 0;
  std::mutex mutex;
  run_thread_ranks(static_cast<int>(c.parallel.ranks()), {.timeout_seconds = 60},
                   [&](std::unique_ptr<Communicator> world) {
                     try {
                       require_memory(c, *world, Device{}, machine_bytes);
                     } catch (const InputError& e) {
                       const std::lock_guard lock(mutex);
                       if (refused++ == 0) first = e.what();
                       EXPECT_EQ(first, e.what());
                     }
                   });
  EXPECT_TRUE(refused == 0 || refused == c.parallel.ranks()) << refused;
  return first;
}

TEST(RunPlan, RefusesWhatIsClearlyTooLargeOnAllRanksWithMeshesThatFit) {
  RunConfig c = long_context();
  c.model.width = 2048;  // 270 million parameters: four copies on one machine
  c.parallel.cp = 1;
  c.parallel.dp = 4;
  c.parallel.zero = false;
  const std::int64_t needed = plan_of(c).memory.total();
  const std::int64_t machine = 4 * needed;
  EXPECT_EQ(memory_refusal(c, machine), "");
  EXPECT_EQ(memory_refusal(c, machine * 7 / 10), "");  // a prediction may be off
  const std::string message = memory_refusal(c, machine * 6 / 10);
  EXPECT_EQ(message.find(fmt::format(
                "parallel: each of 4 ranks is predicted to need {:.1f} GB, clearly more than its "
                "{:.1f} GB of this machine; of 4 ranks these would do: ",
                static_cast<double>(needed) / 1e9, static_cast<double>(needed) * 0.6e-9)),
            0u)
      << message;
  EXPECT_NE(message.find("dp 2 x cp 1 x tp 2"), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_NE(memory_refusal(c, 1 << 20).find("no mesh of 4 ranks would do"), std::string::npos);
}

}  // namespace
}  // namespace mixspan
