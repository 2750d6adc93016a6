// Checkpoints of meshes are those of one rank, whichever mesh wrote them and whichever reads them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "experiments/run/checkpoint.h"
#include "tests/experiments/mesh_runs.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using namespace test;
namespace fs = std::filesystem;

struct Part {
  std::optional<fs::path> from;  // a checkpoint to go on from
  std::int64_t first = 0, last = 0;
};

// Runs the steps [first, last) and saves behind them, in `folder`; returns the losses.
std::vector<double> train_part(MeshShape shape, const Part& part, const fs::path& folder) {
  std::vector<double> losses;
  on_every_rank(mesh_config(shape), /*packed=*/true, [&](Trainer& trainer) {
    const bool is_first = trainer.mesh().is_first();
    if (part.from) trainer.restore_state(Checkpoint::open(*part.from));
    for (std::int64_t s = part.first; s < part.last; ++s) {
      const StepReport report = trainer.step(s);
      if (is_first) losses.push_back(report.loss);
    }
    if (!is_first) return trainer.collect_state({});
    save_checkpoint(
        folder, {part.last, 0, "", "", "test"},
        [&](const PutTensor& put) { trainer.collect_state(put); }, 0);
  });
  return losses;
}

// What differs between two checkpoints' tensors, or "".
std::string tensors_differ(const fs::path& a, const fs::path& b) {
  const Checkpoint x = Checkpoint::open(a), y = Checkpoint::open(b);
  if (x.names() != y.names()) return "other names";
  for (const std::string& name : x.names()) {
    if (x.shape(name) != y.shape(name)) return name + " has another shape";
    if (x.dtype(name) != y.dtype(name)) return name + " has another type";
    Tensor s(x.shape(name), x.dtype(name)), t(y.shape(name), y.dtype(name));
    x.read(name, s);
    y.read(name, t);
    if (const std::string bits = bits_differ(s, t); !bits.empty()) return name + ": " + bits;
  }
  return "";
}

constexpr MeshShape kSaved{2, 2, 2};

// Three steps on (2, 2, 2), saved, and five more without interruption.
class MeshCheckpoint : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new ScratchFolder(memory_folder());
    train_part(kSaved, {{}, 0, 3}, *folder_ / "saved");
    const std::vector<double> losses = train_part(kSaved, {{}, 0, 8}, *folder_ / "whole");
    after_.assign(losses.begin() + 3, losses.end());
  }
  static void TearDownTestSuite() { delete folder_; }
  static fs::path saved() { return *folder_ / "saved" / "step-00000003"; }

  static inline ScratchFolder* folder_ = nullptr;
  static inline std::vector<double> after_;  // losses of the five
};

TEST_F(MeshCheckpoint, HoldsWholeTensorsUnderTheNamesOfOneRank) {
  train_part({1, 1, 1}, {{}, 0, 0}, *folder_ / "one");
  const Checkpoint mesh = Checkpoint::open(saved());
  const Checkpoint one = Checkpoint::open(*folder_ / "one" / "step-00000000");
  ASSERT_EQ(mesh.names(), one.names());
  EXPECT_EQ(mesh.names().size() % 3, 0u);
  for (const std::string& name : one.names()) {
    EXPECT_EQ(mesh.shape(name), one.shape(name)) << name;
    EXPECT_EQ(mesh.dtype(name), one.dtype(name)) << name;
  }
}

TEST_F(MeshCheckpoint, ComesBackBitForBitFromEveryMesh) {
  for (const MeshShape& mesh :
       {MeshShape{1, 4, 1}, {8, 1, 1}, {1, 1, 1}, {1, 1, 8}, {1, 3, 2}, kSaved}) {
    const fs::path folder = *folder_ / fmt::format("again {}", mesh.str());
    train_part(mesh, {saved(), 3, 3}, folder);
    EXPECT_EQ(tensors_differ(folder / "step-00000003", saved()), "") << mesh.str();
  }
}

TEST_F(MeshCheckpoint, GoesOnWithTheSameLossesOnOtherMeshes) {
  for (const MeshShape& mesh : {MeshShape{1, 4, 1}, {8, 1, 1}, {1, 1, 1}}) {
    const std::vector<double> losses =
        train_part(mesh, {saved(), 3, 8}, *folder_ / fmt::format("on {}", mesh.str()));
    ASSERT_EQ(losses.size(), after_.size());
    for (std::size_t s = 0; s < losses.size(); ++s) {
      EXPECT_NEAR(losses[s], after_[s], 1e-5 * after_[s]) << mesh.str() << ", step " << s;
    }
  }
}

TEST_F(MeshCheckpoint, GoesOnWithTheSameBitsOnTheSameMesh) {
  EXPECT_EQ(train_part(kSaved, {saved(), 3, 8}, *folder_ / "on same"), after_);
  EXPECT_EQ(
      tensors_differ(*folder_ / "on same" / "step-00000008", *folder_ / "whole" / "step-00000008"),
      "");
}

}  // namespace
}  // namespace mixspan
