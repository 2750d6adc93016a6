// What a model is: sizes, and which span each layer has.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/span.h"

namespace mixspan {

/// From all that is kept for backward to nothing (layers/saved.h).
enum class Recompute { none, selective, products, full };
/// Whether a layer's backward runs its forward once more; whether that mixes tokens again, too.
constexpr bool runs_again(Recompute policy) {
  return policy == Recompute::products || policy == Recompute::full;
}
constexpr bool mixes_again(Recompute policy) { return policy == Recompute::full; }

struct ModelConfig {
  std::int64_t layers = 6;
  std::int64_t width = 384;              ///< C
  std::int64_t heads = 6;                ///< N; the head size H is width / heads
  std::int64_t mlp_width = 0;            ///< F; 0 means 4 * width
  std::int64_t context = 1024;           ///< rows of the position table: the longest sequence
  std::int64_t vocab = 0;                ///< V; 0 means the corpus's vocabulary
  std::string span = "sliding:128";      ///< of every layer that is not full
  std::string full_layers = "bottom:2";  ///< a placement
  std::vector<std::string> spans;        ///< one for each layer: overrides span and full_layers
  std::string attention_scale = "inverse-sqrt";  ///< or "one"
  bool qkv_bias = false;
  double layer_norm_eps = 1e-5;
  double init_std = 0.02;
  std::string recompute = "selective";  ///< or "none", "products", "full"

  std::int64_t head_size() const { return width / heads; }
  std::int64_t mlp() const { return mlp_width == 0 ? 4 * width : mlp_width; }
  friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

/// Which layers are full: none | all | bottom:N | middle:N | top:N | spaced:N | a list such as
/// "0,3,5". Sorted layer indices. Throws InputError that says what would work.
std::vector<std::int64_t> parse_placement(const std::string& text, std::int64_t layers);

/// The span of each layer, layer 0 next to the embeddings. Throws InputError on what cannot be.
std::vector<AnySpan> layer_spans(const ModelConfig&);

/// What forward keeps for backward: "none", "selective", "products" or "full" recomputation.
Recompute parse_recompute(const std::string& text);

/// Throws InputError, naming the key, unless the sizes fit together.
void validate(const ModelConfig&);

}  // namespace mixspan
