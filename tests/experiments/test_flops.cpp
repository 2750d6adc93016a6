// FLOPs against closed forms, against what the layers say of themselves, and against counting.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <vector>

#include "experiments/cost/flops.h"
#include "layers/model.h"

namespace mixspan {
namespace {

/// GPT-Neo 1.3B at 8192 tokens.
ModelConfig large(const std::string& span, std::int64_t full) {
  ModelConfig c;
  c.layers = 24;
  c.width = 2048;
  c.heads = 16;
  c.context = 8192;
  c.span = span;
  c.full_layers = fmt::format("bottom:{}", full);
  return c;
}
constexpr std::int64_t kT = 8192, kVocab = 50257;

TEST(Flops, AttentionCostOfMixedSpansIsThePublishedTable) {
  struct Row {
    const char* span;
    std::vector<double> percent;  // of all-full, for 0, 2, 3, 4, 6, 8, 12 full layers
  };
  const std::vector<std::int64_t> full{0, 2, 3, 4, 6, 8, 12};
  const std::vector<Row> table{
      {"block:512", {6.3, 14.1, 18.0, 21.9, 29.7, 37.5, 53.1}},
      {"block:1024", {12.5, 19.8, 23.4, 27.1, 34.4, 41.7, 56.3}},
      {"block:2048", {25.0, 31.3, 34.4, 37.5, 43.8, 50.0, 62.5}},
      {"block-prev:512", {18.0, 24.8, 28.2, 31.6, 38.5, 45.3, 59.0}},
      {"block-prev:1024", {34.4, 39.9, 42.6, 45.3, 50.8, 56.3, 67.2}},
      {"sliding:512", {12.1, 19.4, 23.1, 26.8, 34.1, 41.4, 56.1}},
      {"sliding:1024", {23.4, 29.8, 33.0, 36.2, 42.6, 49.0, 61.7}},
  };
  const double all_full = count_flops(large("full", 0), kT, kVocab).attention();
  for (const Row& row : table) {
    for (std::size_t i = 0; i < full.size(); ++i) {
      const double cost = count_flops(large(row.span, full[i]), kT, kVocab).attention();
      EXPECT_NEAR(100 * cost / all_full, row.percent[i], 0.0501) << row.span << " " << full[i];
    }
  }
}

TEST(Flops, OfALargeModelAreTheClosedForms) {
  const ModelFlops f = count_flops(large("block:1024", 4), kT, kVocab);
  const double n = kT, d = 2048, b = 1024;
  ASSERT_EQ(f.layers.size(), 24u);
  EXPECT_EQ(f.layers[0].projections + f.layers[0].mlp, 24 * n * d * d);
  EXPECT_EQ(f.layers[3].attention, 4 * d * n * (n + 1) / 2);
  EXPECT_EQ(f.layers[4].attention, 4 * d * n * (b + 1) / 2);
  EXPECT_EQ(f.layers[3].span, AnySpan(FullSpan{}));
  EXPECT_EQ(f.layers[4].span, AnySpan(BlockSpan{1024}));
  EXPECT_EQ(f.head, 2 * n * d * kVocab);
  EXPECT_EQ(f.attention(), 4 * f.layers[3].attention + 20 * f.layers[4].attention);
  EXPECT_EQ(f.forward(), 24 * 24 * n * d * d + f.attention() + f.head);
  EXPECT_EQ(f.model(), 3 * f.forward());
  const double saved = 1 - f.forward() / count_flops(large("full", 0), kT, kVocab).forward();
  EXPECT_NEAR(100 * saved, 17.1, 0.05);
}

TEST(Flops, CountEveryMatrixOfTheModelAndWhatItsMixersSay) {
  ModelConfig c;
  c.layers = 3;
  c.width = 48;
  c.heads = 3;
  c.mlp_width = 80;
  c.context = 40;
  c.vocab = 31;
  c.full_layers = "bottom:1";
  c.span = "sliding:7";
  const Model model(c, Params::Gradients::no);
  std::int64_t matrices = 0;
  for (const ParamSpec& p : model.params().specs()) {
    if (p.shape.rank() == 2 && p.name != "wpe.weight") matrices += p.shape.size();
  }
  const std::int64_t T = 29;
  const ModelFlops f = count_flops(c, T, c.vocab);
  EXPECT_EQ(f.forward() - f.attention(), 2.0 * static_cast<double>(T * matrices));
  for (std::int64_t l = 0; l < c.layers; ++l) {
    EXPECT_EQ(f.layers[static_cast<std::size_t>(l)].attention,
              model.block(l).mixer().mixing_flops(T));
  }
}

TEST(Flops, RecomputationIsCountedApart) {
  ModelConfig c = large("sliding:256", 2);
  const ModelFlops none = count_flops(c, kT, kVocab);
  EXPECT_EQ(none.recomputed, 0);
  EXPECT_EQ(none.attention_again, none.attention() / 2);
  EXPECT_EQ(none.hardware(), none.model() + none.attention() / 2);
  c.recompute = "selective";
  EXPECT_EQ(count_flops(c, kT, kVocab).hardware(), none.hardware());
  c.recompute = "full";
  const ModelFlops full = count_flops(c, kT, kVocab);
  EXPECT_EQ(full.model(), none.model());
  double mlp = 0;  // whose output nobody needs again
  for (const LayerFlops& layer : none.layers) mlp += layer.mlp;
  EXPECT_EQ(full.hardware(), none.hardware() + none.forward() - none.head - mlp / 2);
  c.recompute = "products";
  EXPECT_EQ(count_flops(c, kT, kVocab).hardware(), full.hardware() - none.attention());
}

TEST(Flops, OfIsolatedDocumentsCountWhatIsVisible) {
  ModelConfig c;
  c.layers = 4;
  c.spans = {"full", "sliding:5", "block:4", "block-prev:4"};
  const std::int64_t B = 2, T = 13;
  Tensor start({B, T}, DType::i32);
  for (std::int64_t t = 0; t < T; ++t) {
    start.data<std::int32_t>()[t] = t < 6 ? 0 : t < 7 ? 6 : 7;  // documents of 6, 1 and 6 tokens
    start.data<std::int32_t>()[T + t] = 0;                      // one document
  }
  const ModelFlops f = count_flops(c, ConstView(start.view()), 10);
  EXPECT_EQ(f.tokens, B * T);
  const std::vector<AnySpan> spans = layer_spans(c);
  for (std::size_t l = 0; l < spans.size(); ++l) {
    std::int64_t pairs = 0;
    for (std::int64_t row = 0; row < B; ++row) {
      for (std::int64_t i = 0; i < T; ++i) {
        for (std::int64_t j = start.data<std::int32_t>()[row * T + i]; j <= i; ++j) {
          pairs += spans[l].allows(i, j) ? 1 : 0;
        }
      }
    }
    EXPECT_EQ(f.layers[l].attention, 4.0 * static_cast<double>(c.width * pairs)) << spans[l].str();
  }
  // Rows without boundaries are plain sequences.
  const ModelFlops plain = count_flops(c, ConstView(start.view()).slice(0, 1, 2), 10);
  EXPECT_EQ(plain.forward(), count_flops(c, T, 10).forward());
}

}  // namespace
}  // namespace mixspan
