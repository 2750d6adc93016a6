// The plan's memory against what the arenas of a device take.
#include "experiments/cost/memory_cost.h"

#include "tests/cuda/training.h"

namespace mixspan::test {
namespace {

class MemoryOnDevice : public DeviceTest {};

RunConfig wide_run() {
  RunConfig c;
  c.model.layers = 4;
  c.model.width = 128;
  c.model.heads = 2;
  c.model.context = 128;
  c.model.span = "sliding:32";
  c.model.full_layers = "bottom:1";
  c.data.train = "synthetic:copy:distance=16,values=256";
  c.train.batch_tokens = 2 * 128;
  c.train.micro_rows = 2;
  return c;
}

void expect_planned(const Exec& given, RunConfig config) {
  Arena scratch{"scratch", given.device};
  const Exec ex{.device = given.device,
                .stream = given.stream,
                .threads = given.threads,
                .libraries = given.libraries,
                .scratch = scratch,
                .precision = config.train.precision == "bf16" ? Precision::bf16 : Precision::fp32,
                .attention_backward = config.kernels.attention_backward == "fused"
                                          ? AttentionBackward::fused
                                          : AttentionBackward::automatic};
  SmallRun run(ex, std::move(config));
  run.trainer->step(0);
  const RankMemory& m = run.trainer->plan().memory;
  const Arena& activations = run.trainer->activations();
  const auto kept = static_cast<std::int64_t>(activations.high_water_bytes()),
             worked = static_cast<std::int64_t>(scratch.high_water_bytes());
  const std::int64_t taken = run.trainer->state_bytes() + kept + worked;
  EXPECT_NEAR(m.activations, kept, 1 << 10);
  // What kernels sum in is left out; here as much as 66 KiB.
  EXPECT_NEAR(m.scratch, worked, 72 << 10);
  EXPECT_NEAR(m.total(), taken, taken / 33);
}

TEST_F(MemoryOnDevice, IsThatOfThePlanSlow) {
  for (const char* precision : {"fp32", "bf16"}) {
    for (const char* recompute : {"none", "selective", "products", "full"}) {
      SCOPED_TRACE(std::string(precision) + ", recompute " + recompute);
      RunConfig c = wide_run();
      c.train.precision = precision;
      c.model.recompute = recompute;
      expect_planned(exec(), c);
    }
  }
}

TEST_F(MemoryOnDevice, OfTheFusedBackwardIsThatOfThePlanSlow) {
  require_capability(9, 0);
  RunConfig c = wide_run();
  c.train.precision = "bf16";
  c.kernels.attention_backward = "fused";
  expect_planned(exec(), c);
}

}  // namespace
}  // namespace mixspan::test
