// Which meshes are possible, and what is said of those that are not.
#include "experiments/cost/parallel_config.h"

#include <gtest/gtest.h>

namespace mixspan {
namespace {

ModelConfig model() {
  ModelConfig m;
  m.width = 96;
  m.heads = 12;
  m.context = 64;
  m.vocab = 300;
  return m;
}
ParallelConfig mesh(std::int64_t dp, std::int64_t cp, std::int64_t tp) {
  ParallelConfig p;
  p.dp = dp;
  p.cp = cp;
  p.tp = tp;
  return p;
}
std::string problem(const ParallelConfig& p, StepShape step = {.batch_rows = 24},
                    const ModelConfig& m = model()) {
  return mesh_problem(m, p, step).value_or("");
}

TEST(MeshProblem, NoneWhereAllDivides) {
  EXPECT_EQ(problem(mesh(1, 1, 1)), "");
  EXPECT_EQ(problem(mesh(8, 32, 2)), "");
  EXPECT_EQ(problem(mesh(1, 5, 1)), "");  // chunks of uneven sizes
  EXPECT_EQ(problem(mesh(2, 1, 12), {.batch_rows = 24, .micro_rows = 6}), "");
}

TEST(MeshProblem, NamesTheKeyTheReasonAndTheWayOut) {
  EXPECT_EQ(problem(mesh(5, 1, 1)),
            "parallel.dp = 5 does not divide the 24 sequences of a step (train.batch_tokens / "
            "model.context); wanted one that does");
  EXPECT_EQ(problem(mesh(1, 1, 5)),
            "parallel.tp = 5 does not divide model.heads = 12; wanted one that does");
  ModelConfig odd = model();
  odd.mlp_width = 90;
  EXPECT_EQ(problem(mesh(1, 1, 4), {.batch_rows = 24}, odd),
            "parallel.tp = 4 does not divide the MLP's width = 90; wanted one that does");
  EXPECT_EQ(problem(mesh(1, 33, 1)),
            "parallel.cp = 33: zigzag chunks need model.context of at least 66, got 64");
  ParallelConfig contiguous = mesh(1, 33, 1);
  contiguous.layout = "contiguous";
  EXPECT_EQ(problem(contiguous), "");
  EXPECT_EQ(problem(mesh(2, 1, 1), {.batch_rows = 24, .micro_rows = 8}),
            "train.micro_rows = 8 does not divide the 12 sequences of a step (train.batch_tokens / "
            "model.context / parallel.dp); wanted one that does, or 0");
}

TEST(MeshProblem, SequenceParallelNeedsARowForEachRank) {
  ParallelConfig p = mesh(1, 16, 6);
  EXPECT_EQ(problem(p),
            "parallel.sequence_parallel = true: 6 tp ranks divide 4 positions (model.context / "
            "parallel.cp); wanted one for each, or false");
  p.sequence_parallel = false;
  EXPECT_EQ(problem(p), "");
}

TEST(MeshProblem, AllToAllNeedsHeadsForEveryRank) {
  ParallelConfig p = mesh(1, 4, 2);
  p.transport = "all_to_all";
  EXPECT_EQ(problem(p),
            "parallel.transport = \"all_to_all\": tp x cp = 8 does not divide model.heads = 12; "
            "wanted \"auto\", \"halo\", \"ring\" or \"gather\"");
  p.cp = 6;
  EXPECT_EQ(problem(p), "");
}

TEST(ChosenMicroRows, AreWhatTheConfigSaysOrEnoughTokensForEachRank) {
  ModelConfig m = model();
  m.context = 1024;
  EXPECT_EQ(chosen_micro_rows(m, mesh(1, 1, 1), {.batch_rows = 24, .micro_rows = 3}), 3);
  EXPECT_EQ(chosen_micro_rows(m, mesh(1, 1, 1), {.batch_rows = 24}), 2);
  EXPECT_EQ(chosen_micro_rows(m, mesh(1, 4, 1), {.batch_rows = 24}), 8);
  EXPECT_EQ(chosen_micro_rows(m, mesh(8, 4, 1), {.batch_rows = 24}), 3);
  EXPECT_EQ(chosen_micro_rows(m, mesh(1, 5, 1), {.batch_rows = 24}), 8);  // 10 does not divide
  m.width = 768;
  EXPECT_EQ(chosen_micro_rows(m, mesh(1, 1, 1), {.batch_rows = 24}), 1);
  m.context = 65536;
  EXPECT_EQ(chosen_micro_rows(m, mesh(1, 1, 1), {.batch_rows = 24}), 1);
}

TEST(PossibleMeshes, AreAllOfThatManyRanksThoseLikeTheWantedFirst) {
  ParallelConfig wanted = mesh(1, 1, 8);
  wanted.zero = false;
  const auto found = possible_meshes(model(), wanted, {.batch_rows = 6}, 8);
  std::vector<std::string> names;
  for (const ParallelConfig& p : found) {
    names.push_back(p.str());
    EXPECT_FALSE(p.zero);
    EXPECT_EQ(p.ranks(), 8);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"dp 2 x cp 1 x tp 4", "dp 1 x cp 2 x tp 4",
                                             "dp 2 x cp 2 x tp 2", "dp 1 x cp 4 x tp 2",
                                             "dp 2 x cp 4 x tp 1", "dp 1 x cp 8 x tp 1"}));
}

}  // namespace
}  // namespace mixspan
