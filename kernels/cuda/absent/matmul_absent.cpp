#include "kernels/cuda/libraries.h"
#include "kernels/cuda/matmul.h"

namespace mixspan::cuda {

namespace {
[[noreturn]] void no_cuda() { fail("this build has no CUDA"); }
}  // namespace

struct Libraries::State {};
Libraries::Libraries(Device, LibraryOptions) { no_cuda(); }
Libraries::~Libraries() = default;

void matmul(const Exec&, View, Transpose, ConstView, Transpose, ConstView, Accumulate) {
  no_cuda();
}
void linear_forward(const Exec&, View, ConstView, ConstView, ConstView) { no_cuda(); }
void linear_residual_forward(const Exec&, View, ConstView, ConstView, ConstView, ConstView) {
  no_cuda();
}
void linear_gelu_forward(const Exec&, View, View, ConstView, ConstView, ConstView) { no_cuda(); }
void linear_backward(const Exec&, View, View, View, ConstView, ConstView, ConstView) { no_cuda(); }
void linear_gelu_input_gradient(const Exec&, View, ConstView, ConstView, ConstView) { no_cuda(); }

}  // namespace mixspan::cuda
