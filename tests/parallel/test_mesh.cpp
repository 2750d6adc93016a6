// The ranks as a box: who is where, and what is seen of every axis.
#include "parallel/mesh.h"

#include <gtest/gtest.h>

#include "core/trace.h"
#include "parallel/thread_ranks.h"

namespace mixspan {
namespace {

using OnMesh = std::function<void(const Mesh&)>;

void on_ranks(const MeshShape& shape, const OnMesh& body) {
  run_thread_ranks(shape.size(), {.timeout_seconds = 60}, [&](std::unique_ptr<Communicator> world) {
    body(Mesh(std::move(world), shape));
  });
}

TEST(Mesh, TpIsInnermost) {
  on_ranks({2, 2, 2}, [](const Mesh& mesh) {
    const int rank = mesh.world().rank();
    EXPECT_EQ(mesh.tp().rank(), rank % 2);
    EXPECT_EQ(mesh.cp().rank(), rank / 2 % 2);
    EXPECT_EQ(mesh.dp().rank(), rank / 4);
    EXPECT_EQ(mesh.dp_cp().rank(), rank / 2);
    EXPECT_EQ(mesh.dp_cp().size(), 4);
    // With whom: the sum of the ranks along each axis.
    const auto sum = [&](Communicator& axis) { return axis.all_reduce_sum({"ranks"}, rank); };
    EXPECT_EQ(sum(mesh.tp()), rank / 2 * 4 + 1);
    EXPECT_EQ(sum(mesh.cp()), 2 * rank + (rank / 2 % 2 == 0 ? 2 : -2));
    EXPECT_EQ(sum(mesh.dp()), 2 * (rank % 4) + 4);
    EXPECT_EQ(sum(mesh.dp_cp()), rank % 2 == 0 ? 12 : 16);
  });
}

TEST(Mesh, RefusesAnotherNumberOfRanks) {
  EXPECT_THROW(Mesh(make_self_communicator(), {1, 2, 1}), InputError);
}

TEST(Mesh, TracesEveryAxis) {
  on_ranks({2, 2, 2}, [](const Mesh& mesh) {
    Tracer tracer(0, 100);
    mesh.trace(&tracer);
    for (Communicator* axis : {&mesh.world(), &mesh.tp(), &mesh.cp(), &mesh.dp(), &mesh.dp_cp()}) {
      axis->barrier({"seen"});
      EXPECT_NE(tracer.json().find('"' + axis->axis() + " seen\""), std::string::npos)
          << axis->axis();
    }
    mesh.trace(nullptr);
  });
}

}  // namespace
}  // namespace mixspan
