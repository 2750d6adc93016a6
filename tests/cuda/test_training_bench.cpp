// bench_cuda_step measures what it says, at a size that an emulated device can do.
#include <cstdio>

#include "tests/bench/cuda/training_step.h"
#include "tests/cuda/training.h"

namespace mixspan::test {
namespace {

class TrainingBench : public DeviceTest {
 protected:
  // The real one with everything divided: heads of 16, and a vocabulary that is odd.
  static RunConfig tiny() {
    RunConfig c = bench::step_of_1b3(32);
    c.model.layers = 2;
    c.model.width = 32;
    c.model.heads = 2;
    c.model.vocab = 67;
    c.model.span = "sliding:8";
    c.model.full_layers = "bottom:1";
    return c;
  }
  static std::string written_by(const std::function<void(std::FILE*)>& body) {
    std::FILE* file = std::tmpfile();
    body(file);
    std::string text(static_cast<std::size_t>(std::ftell(file)), '\0');
    std::rewind(file);
    EXPECT_EQ(std::fread(text.data(), 1, text.size(), file), text.size());
    std::fclose(file);
    return text;
  }
  Exec in_bf16() const {
    Exec ex = exec();
    ex.precision = Precision::bf16;
    return ex;
  }
};

TEST_F(TrainingBench, AStepIsMeasuredAndItsMemoryIsThePlans) {
  bench::TrainingStep step(in_bf16(), tiny());
  const double seconds = step.median_seconds(1, 0);
  EXPECT_GT(seconds, 0);
  EXPECT_EQ(step.flops(), count_flops(step.config().model, 32, 67).model());
  const bench::TrainingStep::Memory m = step.memory();
  EXPECT_EQ(m.state, m.planned_state);
  // Statistics of rows are fp32, which the plan counts as bf16; each piece begins at 256 bytes.
  EXPECT_NEAR(static_cast<double>(m.activations), static_cast<double>(m.planned_activations),
              0.15 * static_cast<double>(m.planned_activations));
  EXPECT_GT(m.scratch, 0);
  const std::string line =
      written_by([&](std::FILE* f) { bench::print_step(f, "tiny", step, 0.5, 1e12); });
  EXPECT_EQ(line.find("tiny"), 0u) << line;
  EXPECT_NE(line.find("500.00        64"), std::string::npos) << line;
  EXPECT_NE(line.find(fmt::format("{:.1f}%", 100 * step.flops() / 0.5e12)), std::string::npos)
      << line;
}

TEST_F(TrainingBench, ItTakesATurnForEachLine) {
  bench::TrainingStep step(in_bf16(), tiny());
  std::FILE* in = std::tmpfile();
  std::fputs("go\ngo\n", in);
  std::rewind(in);
  const std::string said = written_by([&](std::FILE* out) { bench::take_turns(step, in, out); });
  std::fclose(in);
  double first = 0, second = 0;
  long parameters = 0, bytes = 0;
  ASSERT_EQ(std::sscanf(said.c_str(), "ready 1 %ld\n%lf\n%lf\npeak 0 %ld\n", &parameters, &first,
                        &second, &bytes),
            4)
      << said;
  EXPECT_EQ(parameters, step.parameters());
  EXPECT_GT(first, 0);
  EXPECT_GT(second, 0);
  EXPECT_GT(bytes, step.memory().state);
}

TEST(TrainingBenchPlan, RecomputesAsLittleAsTheMemoryAllows) {
  const RunConfig c = bench::step_of_1b3(8192);
  constexpr std::int64_t kGiB = std::int64_t{1} << 30;
  EXPECT_EQ(bench::recompute_that_fits(c, 130 * kGiB), "none");
  EXPECT_EQ(bench::recompute_that_fits(bench::step_of_1b3(32768), 70 * kGiB), "selective");
  EXPECT_EQ(bench::recompute_that_fits(bench::step_of_1b3(131072), 70 * kGiB), "products");
}

}  // namespace
}  // namespace mixspan::test
