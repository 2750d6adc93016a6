// Several ranks on one device train as one rank does, whatever axis and transport divides the work.
#include "experiments/run/checkpoint.h"
#include "tests/cuda/mesh_training.h"

namespace mixspan::test {
namespace {

constexpr double kSame = 1e-5;  // relative, fp32, as on a CPU: the order of sums differs, no more

class MeshesOnDevice : public DeviceTest {
 protected:
  // Loss, norm and every gradient of the first step.
  void expect_one_ranks_step(const DeviceMesh& mesh, const RunConfig& config) {
    SCOPED_TRACE(fmt::format("{} {} {} messages {}{}", mesh.shape.str(), config.parallel.layout,
                             config.parallel.transport, static_cast<int>(mesh.transport),
                             config.parallel.sequence_parallel ? " sp" : ""));
    const MeshResult want = run_on_mesh(device(), {{}, mesh.rows}, mesh_run({}, config), 1);
    const MeshResult got = run_on_mesh(device(), mesh, mesh_run(mesh, config), 1);
    EXPECT_NEAR(got.losses.at(0), want.losses.at(0), kSame * want.losses[0]);
    EXPECT_NEAR(got.grad_norms.at(0), want.grad_norms.at(0), kSame * want.grad_norms[0]);
    ASSERT_EQ(got.state.size(), want.state.size());
    for (const auto& [name, tensor] : want.state) {
      if (!name.starts_with("adam_m/")) continue;
      EXPECT_EQ(differs(got.state.at(name), tensor, {kSame, 10 * kSame}), "") << name;
    }
  }
  static RunConfig moved_by(const std::string& transport, const std::string& layout = "zigzag") {
    RunConfig c = small_run();
    c.parallel.transport = transport;
    c.parallel.layout = layout;
    if (transport == "halo" || transport == "all_to_all") c.model.recompute = "products";
    return c;
  }
  ScratchFolder scratch_{memory_folder()};
};

TEST_F(MeshesOnDevice, DataParallelAndShardedMoments) {
  expect_one_ranks_step({.shape = {2, 1, 1}}, small_run());
}

TEST_F(MeshesOnDevice, WithoutShardedMomentsThroughTheHostSlow) {
  RunConfig c = small_run();
  c.parallel.zero = false;
  expect_one_ranks_step({.shape = {2, 1, 1}, .transport = DeviceTransport::through_host}, c);
}

TEST_F(MeshesOnDevice, EveryTransportSlow) {
  for (const char* transport : {"halo", "ring", "all_to_all", "gather"}) {
    for (const char* layout : {"zigzag", "contiguous"}) {
      expect_one_ranks_step({.shape = {1, 2, 1}, .rows = Rows::of_documents},
                            moved_by(transport, layout));
    }
    expect_one_ranks_step({.shape = {1, 2, 1}, .transport = DeviceTransport::through_host},
                          moved_by(transport));
  }
}

TEST_F(MeshesOnDevice, TensorParallelWithAndWithoutSequenceParallelSlow) {
  for (const bool sequence_parallel : {true, false}) {
    RunConfig c = small_run();
    c.parallel.sequence_parallel = sequence_parallel;
    expect_one_ranks_step({.shape = {1, 1, 2}}, c);
    expect_one_ranks_step({.shape = {1, 1, 2},
                           .rows = Rows::of_documents,
                           .transport = DeviceTransport::through_host},
                          c);
  }
}

TEST_F(MeshesOnDevice, FourRanksSlow) {
  RunConfig c = small_run();
  c.model.heads = 4;
  for (const MeshShape& shape : {MeshShape{1, 2, 2}, {2, 2, 1}, {2, 1, 2}, {1, 4, 1}}) {
    expect_one_ranks_step({.shape = shape, .rows = Rows::of_documents}, c);
  }
  c.parallel.transport = "ring";  // of more than one hop
  expect_one_ranks_step({.shape = {1, 4, 1}}, c);
}

TEST_F(MeshesOnDevice, ByNcclsFunctionsSlow) {
  for (const MeshShape& shape : {MeshShape{2, 1, 1}, {1, 2, 1}, {1, 2, 2}}) {
    expect_one_ranks_step({.shape = shape, .transport = DeviceTransport::nccl}, small_run());
  }
}

TEST_F(MeshesOnDevice, RepeatGivesTheSameBitsHoweverMessagesTravelSlow) {
  const DeviceMesh mesh{.shape = {1, 2, 2}, .rows = Rows::of_documents};
  DeviceMesh staged = mesh;
  staged.transport = DeviceTransport::through_host;
  const RunConfig c = mesh_run(mesh);
  const MeshResult a = run_on_mesh(device(), mesh, c, 2), b = run_on_mesh(device(), mesh, c, 2),
                   other = run_on_mesh(device(), staged, c, 2);
  EXPECT_EQ(a.losses, b.losses);
  EXPECT_EQ(a.losses, other.losses);
  for (const auto& [name, tensor] : a.state) {
    EXPECT_EQ(bits_differ(b.state.at(name), tensor), "") << name;
    EXPECT_EQ(bits_differ(other.state.at(name), tensor), "") << name;
  }
}

// Activations, and so the sums over tp and what cp moves, are bf16.
TEST_F(MeshesOnDevice, StepsInBf16FollowOneRanksSlow) {
  RunConfig c = small_run();
  c.train.precision = "bf16";
  const auto run = [&](const MeshShape& shape) {
    const DeviceMesh mesh{.shape = shape};
    return run_on_mesh(device(), mesh, mesh_run(mesh, c), 4);
  };
  const MeshResult want = run({});
  for (const MeshShape& shape : {MeshShape{1, 2, 1}, {1, 1, 2}, {2, 1, 1}}) {
    const MeshResult got = run(shape);
    for (std::size_t s = 0; s < want.losses.size(); ++s) {
      EXPECT_NEAR(got.losses.at(s), want.losses[s], 0.01 * want.losses[s]) << shape.str();
    }
  }
}

TEST_F(MeshesOnDevice, ACheckpointGoesOnOnAnotherMeshSlow) {
  const auto train = [&](const MeshShape& shape, const std::optional<std::filesystem::path>& from,
                         std::int64_t first, std::int64_t last, const std::string& name) {
    const DeviceMesh mesh{.shape = shape};
    std::vector<double> losses;
    on_every_rank(device(), mesh, mesh_run(mesh), [&](Trainer& trainer) {
      if (from) trainer.restore_state(Checkpoint::open(*from));
      for (std::int64_t s = first; s < last; ++s) {
        const StepReport report = trainer.step(s);
        if (trainer.mesh().is_first()) losses.push_back(report.loss);
      }
      if (!trainer.mesh().is_first()) return trainer.collect_state({});
      save_checkpoint(
          scratch_ / name, {last, 0, "", "", "test"},
          [&](const PutTensor& put) { trainer.collect_state(put); }, 0);
    });
    return losses;
  };
  const std::vector<double> whole = train({2, 1, 2}, {}, 0, 4, "whole");
  train({2, 1, 2}, {}, 0, 2, "saved");
  const auto saved = scratch_ / "saved" / "step-00000002";
  EXPECT_EQ(train({2, 1, 2}, saved, 2, 4, "same"), (std::vector{whole[2], whole[3]}));
  for (const MeshShape& shape : {MeshShape{1, 2, 1}, {1, 1, 1}}) {
    const std::vector<double> losses = train(shape, saved, 2, 4, shape.str());
    for (std::size_t s = 0; s < losses.size(); ++s) {
      EXPECT_NEAR(losses[s], whole[s + 2], 1e-5 * whole[s + 2]) << shape.str() << ", step " << s;
    }
  }
}

}  // namespace
}  // namespace mixspan::test
