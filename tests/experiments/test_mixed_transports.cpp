// At the shape of GPT-Neo 1.3B with 32768 tokens on 8 ranks: what a run would do and what the
// planner says agree, and move a fifth of what a ring does. Counted on small shapes in
// tests/layers/test_context_attention.cpp.
#include <gtest/gtest.h>

#include "experiments/cost/plan.h"
#include "experiments/run/run_plan.h"
#include "parallel/exchange_bytes.h"

namespace mixspan {
namespace {

RunConfig large(const std::string& layout, const std::string& transport) {
  RunConfig c;
  c.model.layers = 24;
  c.model.width = 2048;
  c.model.heads = 16;
  c.model.context = 32768;
  c.model.vocab = 50257;
  c.model.span = "sliding:256";
  c.model.full_layers = "spaced:4";
  c.parallel.cp = 8;
  c.parallel.layout = layout;
  c.parallel.transport = transport;
  return c;
}

RunPlan plan_on_gpus(const RunConfig& c) {
  return make_plan({c.model,
                    c.parallel,
                    {.batch_rows = 1, .micro_rows = 1},
                    load_machine_file(MIXSPAN_SOURCE_DIR "/experiments/recipes/machines/"
                                                         "h100x8.toml")});
}

// What a run takes.
std::vector<Transport> transports_of(const RunConfig& c) {
  std::vector<Transport> all;
  for (const auto& layer : plan_of(c).layers) all.push_back(layer.exchange.cost.transport);
  return all;
}

// By the formulas, of the transports that a run takes; the rank that sends most in each layer.
std::int64_t bytes_of_run(const RunConfig& c) {
  const SequenceLayout layout(parse_layout(c.parallel.layout), c.model.context, 8);
  const std::vector<AnySpan> spans = layer_spans(c.model);
  const std::vector<Transport> transports = transports_of(c);
  std::int64_t bytes = 0;
  for (std::size_t l = 0; l < spans.size(); ++l) {
    bytes += most_exchange_bytes(transports[l], HaloPlan(spans[l], layout), layout, {1, 16, 128})
                 .total();
  }
  return bytes;
}

TEST(MixedTransports, MoveAFifthOfWhatARingMoves) {
  for (const std::string layout : {"contiguous", "zigzag"}) {
    const std::int64_t mix = bytes_of_run(large(layout, "auto"));
    const std::int64_t ring = bytes_of_run(large(layout, "ring"));
    const std::int64_t heads = bytes_of_run(large(layout, "all_to_all"));
    EXPECT_GT(mix, 0);
    EXPECT_LE(5 * mix, ring) << layout;
    EXPECT_LT(mix, 4 * (ring / 24) + 20 * (heads / 24)) << layout;
  }
}

TEST(MixedTransports, AreTheSameInAPlanAndInARun) {
  for (const std::string transport : {"auto", "ring", "all_to_all", "halo"}) {
    const RunConfig c = large("zigzag", transport);
    EXPECT_EQ(plan_on_gpus(c).bytes.cp, bytes_of_run(c)) << transport;
  }
}

TEST(MixedTransports, AHaloNeverHoldsTheWholeSequence) {
  for (const std::string layout : {"contiguous", "zigzag"}) {
    const RunConfig c = large(layout, "auto");
    const std::vector<AnySpan> spans = layer_spans(c.model);
    const std::vector<Transport> transports = transports_of(c);
    for (std::size_t l = 0; l < spans.size(); ++l) {
      EXPECT_EQ(transports[l] == Transport::halo, !spans[l].is_full()) << layout << " layer " << l;
    }
  }
}

}  // namespace
}  // namespace mixspan
