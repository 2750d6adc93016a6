// The operations of kernels/cuda that are neither products nor attention, for a build without CUDA.
#include "kernels/cuda/absent/no_cuda.h"
#include "kernels/cuda/adamw.h"
#include "kernels/cuda/argmax.h"
#include "kernels/cuda/attention_merge.h"
#include "kernels/cuda/cast.h"
#include "kernels/cuda/copy_rows.h"
#include "kernels/cuda/cross_entropy.h"
#include "kernels/cuda/cross_entropy_parts.h"
#include "kernels/cuda/embedding.h"
#include "kernels/cuda/gelu.h"
#include "kernels/cuda/layer_norm.h"
#include "kernels/cuda/ordered_sum.h"
#include "kernels/cuda/positions.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/residual.h"

namespace mixspan::cuda {

void adamw(const Exec&, View, View, View, ConstView, const simd::AdamWFactors&, View) {
  no_cuda("adamw");
}

void argmax_rows(const Exec&, View, ConstView, std::int64_t) { no_cuda("argmax_rows"); }
void mark_correct(const Exec&, View, ConstView, ConstView, ConstView) { no_cuda("mark_correct"); }

void attention_merge(const Exec&, View, View, ConstView, ConstView) { no_cuda("attention_merge"); }

void cast(const Exec&, View, ConstView) { no_cuda("cast"); }

void copy_rows(const Exec&, View, ConstView) { no_cuda("copy_rows"); }
void clear_rows(const Exec&, View) { no_cuda("clear_rows"); }
void add_rows(const Exec&, View, ConstView) { no_cuda("add_rows"); }

void cross_entropy_forward(const Exec&, View, ConstView, ConstView) {
  no_cuda("cross_entropy_forward");
}
void cross_entropy_forward_backward(const Exec&, View, View, ConstView, float) {
  no_cuda("cross_entropy_forward_backward");
}

void cross_entropy_part(const Exec&, View, ConstView, ConstView, VocabShard) {
  no_cuda("cross_entropy_part");
}
void cross_entropy_join(const Exec&, View, ConstView, ConstView) { no_cuda("cross_entropy_join"); }
void cross_entropy_part_backward(const Exec&, View, ConstView, ConstView, VocabShard, float) {
  no_cuda("cross_entropy_part_backward");
}

void embedding_forward(const Exec&, View, ConstView, ConstView, ConstView, ConstView, VocabShard) {
  no_cuda("embedding_forward");
}
void embedding_backward(const Exec&, View, View, ConstView, ConstView, ConstView, VocabShard) {
  no_cuda("embedding_backward");
}

void gelu_forward(const Exec&, View, ConstView) { no_cuda("gelu_forward"); }
void gelu_backward(const Exec&, View, ConstView, ConstView) { no_cuda("gelu_backward"); }

void layer_norm_forward(const Exec&, View, View, View, ConstView, ConstView, ConstView, float) {
  no_cuda("layer_norm_forward");
}
void layer_norm_backward(const Exec&, View, View, View, ConstView, ConstView, ConstView, ConstView,
                         ConstView, DxMode) {
  no_cuda("layer_norm_backward");
}

void fill_positions(const Exec&, View, std::int64_t) { no_cuda("fill_positions"); }
void mark_ring_rows(const Exec&, View, std::int64_t, std::int64_t) { no_cuda("mark_ring_rows"); }

double sum_of_squares(const Exec&, ConstView) { no_cuda("sum_of_squares"); }
double sum(const Exec&, ConstView) { no_cuda("sum"); }
std::int64_t first_nonfinite(const Exec&, ConstView) { no_cuda("first_nonfinite"); }
void add_into(const Exec&, View, ConstView) { no_cuda("add_into"); }

void bias_residual(const Exec&, View, ConstView, ConstView, ConstView) { no_cuda("bias_residual"); }

void sum_in_order(Stream, DType, const PiecesOfRanks&, std::int64_t) { no_cuda("sum_in_order"); }

}  // namespace mixspan::cuda
