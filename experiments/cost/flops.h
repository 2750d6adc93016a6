// Floating-point operations of a model, counting only the (query, key) pairs that the spans let
// through. A multiply and an add are two. Matrix products and attention count; norms, GELU, softmax
// and the embedding look-up, some per mille of the work, do not.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor.h"
#include "layers/model_config.h"

namespace mixspan {

/// Forward operations of one layer.
struct LayerFlops {
  AnySpan span;
  double projections = 0;  ///< queries, keys, values, output
  double attention = 0;    ///< scores and weighted values over the visible pairs
  double mlp = 0;
  double forward() const { return projections + attention + mlp; }
  /// All projections and the first of the MLP's two products: nobody needs its output again.
  double products_again() const { return projections + mlp / 2; }
  /// What backward does again of it; norms and GELU do not count.
  double recomputed(Recompute policy) const;
};

/// Of a training step over `tokens` tokens. Steps add up: count one sequence and multiply.
struct ModelFlops {
  std::int64_t tokens = 0;
  std::vector<LayerFlops> layers;
  double head = 0;             ///< forward: logits of every position
  double recomputed = 0;       ///< forward work that model.recompute makes backward do again
  double attention_again = 0;  ///< scores that attention's backward computes again instead of
                               ///< storing them (FlashAttention, arXiv:2205.14135)

  double attention() const;  ///< forward, all layers
  double forward() const;
  double backward() const { return 2 * forward(); }
  /// What the mathematics needs: the numerator of MFU (PaLM, arXiv:2204.02311, appendix B).
  double model() const { return forward() + backward(); }
  /// What is computed: the numerator of hardware utilisation. Without what tiles at a span's edge
  /// compute and then mask.
  double hardware() const { return model() + recomputed + attention_again; }
};

/// Of one sequence of T tokens. `vocab`: V, for a config that leaves it to the corpus. `config`
/// must be valid.
ModelFlops count_flops(const ModelConfig& config, std::int64_t T, std::int64_t vocab);

/// Of a batch whose documents do not see each other. document_start: (B, T) i32, where in its row
/// the document of each token starts.
ModelFlops count_flops(const ModelConfig& config, const ConstView& document_start,
                       std::int64_t vocab);

/// Attention's operations over those of the same model with all layers full. `config` must be
/// valid.
double attention_share(const ModelConfig& config);

}  // namespace mixspan
