// The trace of a run shows what its ranks send each other.
#include <gtest/gtest.h>

#include "experiments/run/train.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

TEST(MeshTrace, HoldsTheTransfersOfEveryAxisAndTheComputationBesideThem) {
  const test::ScratchFolder folder(test::memory_folder());
  RunConfig c;
  c.model.layers = 2;
  c.model.width = 16;
  c.model.heads = 2;
  c.model.context = 32;
  c.model.span = "sliding:4";
  c.model.full_layers = "bottom:1";
  c.data.train = "synthetic:copy:distance=8";
  c.train.steps = 1;
  c.train.batch_tokens = 2 * c.model.context;
  c.parallel.cp = 2;
  c.parallel.tp = 2;
  c.checkpoint.every_steps = 0;
  c.eval.every_steps = 0;
  c.log.tensorboard = false;
  c.log.trace = "trace.json";
  std::FILE* out = std::tmpfile();
  TrainRequest request{c, folder / "run", out};
  request.threads = request.thread_ranks = 4;
  request.measure_peak = false;
  EXPECT_EQ(train(request), ExitCode::kFinished);
  std::fclose(out);
  const std::string trace = test::read_file(folder / "run/trace.json");
  for (const char* name :
       {"\"attention\"", "\"cp ring layer 0\"", "\"cp halo layer 1\"", "\"wait cp halo layer 1\"",
        "\"tp mlp in layer 1\"", "\"dp_cp gradients layer 1\"", "\"world start\""}) {
    EXPECT_NE(trace.find(name), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace mixspan
