// kernels/cuda/attention.h for a build without CUDA.
#include "kernels/cuda/attention.h"

namespace mixspan::cuda {

void attention_forward(const Exec&, View, View, ConstView, ConstView, ConstView,
                       const AttentionRule&) {
  fail("attention: this build has no CUDA");
}
void attention_backward(const Exec&, View, View, View, ConstView, ConstView, ConstView, ConstView,
                        ConstView, ConstView, const AttentionRule&) {
  fail("attention: this build has no CUDA");
}
void attention_decode(const Exec&, View, ConstView, ConstView, ConstView, ConstView, float) {
  fail("attention: this build has no CUDA");
}

}  // namespace mixspan::cuda
