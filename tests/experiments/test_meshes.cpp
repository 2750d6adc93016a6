// One oracle over the whole matrix: on every mesh the loss, every gradient and the curve of losses
// are those of one rank.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <mutex>

#include "tests/experiments/mesh_runs.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using namespace test;

constexpr double kSame = 1e-5;  // relative, fp32: the order of sums is all that differs

struct MeshCase {
  MeshShape mesh;
  std::string layout = "zigzag", transport = "auto";
  bool packed = false, zero = true, sequence_parallel = true;
  std::string recompute = "none";

  std::string name() const {
    return fmt::format("{} {} {}{}{}{} recompute {}", mesh.str(), layout, transport,
                       packed ? " packed" : "", zero ? " zero" : "", sequence_parallel ? " sp" : "",
                       recompute);
  }
  // Eight, unless the mesh wants another number that it divides.
  std::int64_t heads() const {
    const int wanted = transport == "all_to_all" ? mesh.tp * mesh.cp : mesh.tp;
    return 8 % wanted == 0 ? 8 : wanted;
  }
  std::int64_t rows() const { return 8 % mesh.dp == 0 ? 8 : mesh.dp; }
  RunConfig config() const {
    RunConfig c = mesh_config(mesh, heads(), rows());
    c.parallel.layout = layout;
    c.parallel.transport = transport;
    c.parallel.zero = zero;
    c.parallel.sequence_parallel = sequence_parallel;
    c.model.recompute = recompute;
    return c;
  }
};

std::vector<MeshShape> all_meshes() {
  std::vector<MeshShape> all;
  for (int dp = 1; dp <= 8; ++dp) {
    for (int cp = 1; dp * cp <= 8; ++cp) {
      for (int tp = 1; dp * cp * tp <= 8; ++tp) {
        all.push_back({dp, cp, tp});
      }
    }
  }
  return all;
}

// Every value of every choice on every mesh where it means something; those of zero,
// sequence_parallel and recompute in turn, so that a run of minutes becomes one of seconds. With
// MIXSPAN_ALL_MESHES=1 every combination.
std::vector<MeshCase> all_cases() {
  const bool every = std::getenv("MIXSPAN_ALL_MESHES") != nullptr;
  const std::vector<std::string> policies{"none", "selective", "products", "full"};
  std::vector<MeshCase> cases;
  std::size_t turn = 0;
  for (const MeshShape& mesh : all_meshes()) {
    std::vector<std::string> layouts{"zigzag"}, transports{"auto"};
    if (mesh.cp > 1) {
      layouts.push_back("contiguous");
      transports = {"auto", "halo", "ring", "all_to_all", "gather"};
    }
    for (const std::string& layout : layouts) {
      for (const std::string& transport : transports) {
        for (const bool packed : {false, true}) {
          for (std::size_t choice = 0; choice < (every ? 4 * policies.size() : 1);
               ++choice, ++turn) {
            // Each mesh has an even number of cases: the choices must not go with `packed`.
            const std::size_t t = every ? choice : turn + turn / 2;
            cases.push_back({mesh, layout, transport, packed, t % 2 == 0, t / 2 % 2 == 0,
                             policies[t / 4 % policies.size()]});
          }
        }
      }
    }
  }
  return cases;
}

// What is wrong, or "".
std::string compare(const MeshResult& got, const MeshResult& want) {
  for (std::size_t s = 0; s < want.losses.size(); ++s) {
    if (!(std::abs(got.losses[s] - want.losses[s]) <= kSame * want.losses[s])) {
      return fmt::format("loss of step {}: {} and not {}", s, got.losses[s], want.losses[s]);
    }
    if (!(std::abs(got.grad_norms[s] - want.grad_norms[s]) <= kSame * want.grad_norms[s])) {
      return fmt::format("gradient norm of step {}: {} and not {}", s, got.grad_norms[s],
                         want.grad_norms[s]);
    }
  }
  return "";
}

std::string compare_gradients(const MeshResult& got, const MeshResult& want) {
  for (const auto& [name, tensor] : want.state) {
    if (!name.starts_with("adam_m/")) continue;
    const auto found = got.state.find(name);
    if (found == got.state.end()) return name + " is missing";
    if (const std::string wrong = differs(found->second, tensor, {kSame, 10 * kSame});
        !wrong.empty()) {
      return name + ": " + wrong;
    }
  }
  return "";
}

// What one rank makes of the same model and batch.
class OneRank {
 public:
  explicit OneRank(std::int64_t steps) : steps_(steps) {}
  const MeshResult& result(const MeshCase& c) {
    const auto key = std::tuple(c.heads(), c.rows(), c.packed);
    if (!results_.contains(key)) {
      results_.emplace(key, run_on_mesh(mesh_config({}, c.heads(), c.rows()), c.packed, steps_));
    }
    return results_.at(key);
  }

 private:
  std::int64_t steps_;
  std::map<std::tuple<std::int64_t, std::int64_t, bool>, MeshResult> results_;
};

TEST(Meshes, DocumentsMatter) {
  const MeshResult plain = run_on_mesh(mesh_config(), false, 1);
  const MeshResult packed = run_on_mesh(mesh_config(), true, 1);
  EXPECT_GT(std::abs(plain.losses[0] - packed.losses[0]), 1e-4);
}

// Every `stride`-th case.
void expect_one_rank_everywhere(std::size_t stride) {
  OneRank want(1);
  std::size_t failures = 0;
  const std::vector<MeshCase> cases = all_cases();
  for (std::size_t i = 0; i < cases.size() && failures < 10; i += stride) {
    const MeshCase& c = cases[i];
    const MeshResult got = run_on_mesh(c.config(), c.packed, 1);
    const MeshResult& one = want.result(c);
    const std::string wrong = compare(got, one) + compare_gradients(got, one);
    EXPECT_EQ(wrong, "") << c.name();
    if (!wrong.empty()) ++failures;
  }
}

TEST(Meshes, LossAndEveryGradientAreThoseOfOneRankSlow) { expect_one_rank_everywhere(1); }
TEST(Meshes, LossAndEveryGradientAreThoseOfOneRankHereAndThere) { expect_one_rank_everywhere(11); }

// All ranks stop at the same find, also those that hold nothing of it.
TEST(Meshes, WhatIsNotFiniteOnOneRankStopsAllWithItsName) {
  for (const MeshShape& shape : {MeshShape{2, 2, 2}, {1, 1, 4}, {4, 1, 1}}) {
    std::mutex mutex;
    std::vector<std::string> messages;
    on_every_rank(mesh_config(shape), /*packed=*/false, [&](Trainer& trainer) {
      Params& params = trainer.model().params();
      if (trainer.mesh().world().rank() == shape.size() - 1) {
        for (const NamedView& w : params.named(params.weights())) {
          // In a part that no other rank holds, or all do.
          if (w.name == "h.3.mlp.fc.weight") w.view.data<float>()[0] = NAN;
        }
      }
      try {
        trainer.step(0);
      } catch (const Error& e) {
        const std::lock_guard lock(mutex);
        messages.emplace_back(e.what());
      }
    });
    ASSERT_EQ(messages.size(), static_cast<std::size_t>(shape.size())) << shape.str();
    for (const std::string& m : messages) {
      EXPECT_NE(m.find("first seen in the weight h.3.mlp.fc.weight"), std::string::npos) << m;
      EXPECT_EQ(m, messages[0]);
    }
  }
}

TEST(Meshes, CurvesOfTenStepsAreThoseOfOneRankSlow) {
  for (const bool packed : {false, true}) {
    const MeshResult want = run_on_mesh(mesh_config(), packed, 10);
    for (const MeshCase& c : {MeshCase{{8, 1, 1}},
                              {{1, 8, 1}},
                              {{1, 1, 8}},
                              {{2, 2, 2}},
                              {{1, 4, 2}, "contiguous"},
                              {{2, 4, 1}, "zigzag", "ring"},
                              {{1, 4, 2}, "contiguous", "all_to_all"}}) {
      EXPECT_EQ(compare(run_on_mesh(c.config(), packed, 10), want), "") << c.name();
    }
  }
}

TEST(Meshes, RepeatGivesTheSameBits) {
  for (const MeshCase& c : {MeshCase{{2, 2, 2}}, {{1, 4, 2}, "zigzag", "ring"}}) {
    const MeshResult a = run_on_mesh(c.config(), true, 3), b = run_on_mesh(c.config(), true, 3);
    EXPECT_EQ(a.losses, b.losses);
    for (const auto& [name, tensor] : a.state) {
      EXPECT_EQ(bits_differ(b.state.at(name), tensor), "") << c.name() << " " << name;
    }
  }
}

}  // namespace
}  // namespace mixspan
