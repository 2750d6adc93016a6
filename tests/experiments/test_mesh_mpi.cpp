// A sample of the meshes as processes under mpirun: the loss and every gradient are those of one
// process.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "experiments/run/checkpoint.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"
#include "tests/support/program.h"

namespace mixspan {
namespace {

using namespace test;
namespace fs = std::filesystem;

constexpr const char* kConfig = R"([model]
layers = 6
width = 64
heads = 8
context = 50
spans = ["full", "sliding:3", "sliding:8", "sliding:20", "block:7", "block-prev:6"]
qkv_bias = true
[data]
train = "synthetic:recall:distance=16,pairs=2"
[train]
steps = 1
batch_tokens = 400
micro_rows = 1
max_grad_norm = 0
[optimizer]
warmup_steps = 0
[log]
tensorboard = false
[checkpoint]
every_steps = 0
[eval]
every_steps = 0
rows = 4
)";

using Words = std::vector<std::string>;

class MeshMpi : public testing::Test {
 protected:
  // Trains one step with these settings; the run's folder.
  fs::path train(const std::string& name, Words launcher, const Words& sets) {
    const fs::path run = folder_ / name;
    write_file(folder_ / "run.toml", kConfig);
    Words command = std::move(launcher);
    for (const std::string& word :
         {mixspan_path(), std::string("train"), (folder_ / "run.toml").string(),
          std::string("--run-dir"), run.string()}) {
      command.push_back(word);
    }
    for (const std::string& set : sets) {
      command.push_back("--set");
      command.push_back(set);
    }
    const ProgramResult r = Program(command).wait();
    EXPECT_EQ(r.exit_code, 0) << r.err << r.out;
    return run;
  }
  static double loss(const fs::path& run) {
    return nlohmann::json::parse(read_file(run / "result.json")).at("loss");
  }
  ScratchFolder folder_;
};

TEST_F(MeshMpi, FourProcessesTrainAsOneSlow) {
  const Words four = mpirun(4);
  if (four.empty()) GTEST_SKIP() << "no mpirun";
  const fs::path one = train("one", {}, {});
  const Checkpoint want = Checkpoint::open(one / "checkpoints" / "latest");
  const Words meshes[] = {
      {"parallel.dp=4"},
      {"parallel.tp=4"},
      {"parallel.cp=4", "parallel.transport=halo"},
      {"parallel.cp=4", "parallel.transport=ring"},
      {"parallel.cp=2", "parallel.tp=2", "parallel.transport=all_to_all",
       "parallel.layout=contiguous"},
      {"parallel.cp=2", "parallel.dp=2", "parallel.transport=gather", "parallel.zero=false"}};
  for (std::size_t i = 0; i < std::size(meshes); ++i) {
    const fs::path run = train(fmt::format("run-{}", i), four, meshes[i]);
    ASSERT_FALSE(HasFailure()) << meshes[i][0];
    EXPECT_NEAR(loss(run), loss(one), 1e-5 * loss(one)) << meshes[i][0];
    const Checkpoint got = Checkpoint::open(run / "checkpoints" / "latest");
    ASSERT_EQ(got.names(), want.names());
    for (const std::string& name : want.names()) {
      if (!name.starts_with("adam_m/")) continue;
      Tensor a(got.shape(name)), b(want.shape(name));
      got.read(name, a);
      want.read(name, b);
      EXPECT_EQ(differs(a, b, {1e-5, 1e-4}), "") << meshes[i][0] << " " << name;
    }
  }
}

}  // namespace
}  // namespace mixspan
