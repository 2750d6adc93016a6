// What is sent in a step is what was planned, on every rank, for every layer and transport.
#include "experiments/run/step_traffic.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "experiments/run/run_plan.h"
#include "tests/experiments/mesh_runs.h"

namespace mixspan {
namespace {

using namespace test;

struct TrafficCase {
  MeshShape mesh;
  std::string layout, transport, recompute;
  bool packed = false;
  std::string name() const {
    return fmt::format("{} {} {} recompute {}", mesh.str(), layout, transport, recompute);
  }
};

// What each rank planned and sent in its second step, layer by layer.
std::vector<std::vector<LayerTraffic>> traffic_of(const TrafficCase& t) {
  RunConfig config = mesh_config(t.mesh, 8, 4);
  config.parallel.layout = t.layout;
  config.parallel.transport = t.transport;
  config.model.recompute = t.recompute;
  std::vector<std::vector<LayerTraffic>> all(static_cast<std::size_t>(t.mesh.size()));
  on_every_rank(config, t.packed, [&](Trainer& trainer) {
    Communicator& world = trainer.mesh().world();
    StepTraffic traffic(trainer.mesh());
    for (std::int64_t s = 0; s < 2; ++s) {
      traffic.begin_step();
      trainer.step(s);
      traffic.end_step();
    }
    std::vector<LayerTraffic>& mine = all[static_cast<std::size_t>(world.rank())];
    mine = layer_traffic(config, trainer);
    std::int64_t sent = 0;
    for (const LayerTraffic& layer : mine) sent += layer.sent;
    EXPECT_EQ(sent, traffic.last_bytes().cp) << t.name();
    const double total = world.all_reduce_sum({"test"}, static_cast<double>(sent));
    const std::vector<StepTraffic::Axis> axes = traffic.totals();
    ASSERT_EQ(axes.size(), 3u);
    EXPECT_EQ(axes[1].name, "cp");
    EXPECT_TRUE(t.packed || axes[1].bytes == total) << t.name();  // each step alike
  });
  return all;
}

std::vector<TrafficCase> cases() {
  std::vector<TrafficCase> all;
  for (const MeshShape& mesh : {MeshShape{1, 2, 1}, {2, 2, 2}, {1, 4, 1}, {1, 4, 2}}) {
    for (const char* layout : {"zigzag", "contiguous"}) {
      for (const char* transport : {"auto", "halo", "ring", "all_to_all", "gather"}) {
        for (const char* recompute : {"none", "full"}) {
          all.push_back({mesh, layout, transport, recompute});
        }
      }
    }
  }
  all.push_back({{1, 3, 1}, "zigzag", "ring", "selective"});
  all.push_back({{1, 3, 1}, "contiguous", "halo", "selective"});
  for (const char* transport : {"halo", "ring", "all_to_all", "gather"}) {
    all.push_back({{1, 2, 2}, "zigzag", transport, "products"});
  }
  return all;
}

TEST(StepTraffic, EveryLayerOfEveryRankSendsWhatWasPlanned) {
  for (const TrafficCase& t : cases()) {
    std::int64_t total = 0;
    for (const std::vector<LayerTraffic>& rank : traffic_of(t)) {
      ASSERT_EQ(rank.size(), 6u);
      for (const LayerTraffic& layer : rank) {
        EXPECT_EQ(layer.sent, layer.planned) << t.name() << " " << describe(layer);
        total += layer.sent;
      }
    }
    EXPECT_GT(total, 0) << t.name();
  }
}

TEST(StepTraffic, DocumentsOnlyLowerWhatAHaloSends) {
  std::int64_t less = 0;
  for (const char* transport : {"halo", "ring"}) {
    for (const auto& rank : traffic_of({{1, 4, 1}, "contiguous", transport, "none", true})) {
      for (const LayerTraffic& layer : rank) {
        EXPECT_LE(layer.sent, layer.planned) << describe(layer);
        less += layer.planned - layer.sent;
      }
    }
  }
  EXPECT_GT(less, 0);
}

TEST(StepTraffic, GradientsTakeWhatWasPlanned) {
  for (const MeshShape& mesh : {MeshShape{2, 1, 1}, {1, 4, 1}, {2, 2, 1}, {2, 2, 2}}) {
    for (const bool zero : {true, false}) {
      RunConfig config = mesh_config(mesh, 8, 4);
      config.parallel.zero = zero;
      std::vector<std::int64_t> sent(static_cast<std::size_t>(mesh.size()));
      on_every_rank(config, false, [&](Trainer& trainer) {
        StepTraffic traffic(trainer.mesh());
        traffic.begin_step();
        trainer.step(0);
        traffic.end_step();
        const int rank = trainer.mesh().world().rank();
        sent[static_cast<std::size_t>(rank)] = traffic.last_bytes().dp;
      });
      const auto [least, most] = std::minmax_element(sent.begin(), sent.end());
      const std::int64_t planned = plan_of(config).bytes.dp;
      // Ranks of tp that have a number more or less of what cannot be divided evenly.
      EXPECT_GE(planned, *least) << mesh.str() << " zero " << zero;
      EXPECT_LE(planned, *most) << mesh.str() << " zero " << zero;
      EXPECT_GT(*least, 0);
    }
  }
}

TEST(StepTraffic, IsToldInOneLine) {
  EXPECT_EQ(describe({3, "sliding:128", Transport::halo, 1 << 20, 1 << 19}),
            "layer 3 sliding:128 halo: planned 1.0M, sent 512.0K a step");
}

}  // namespace
}  // namespace mixspan
