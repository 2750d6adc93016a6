// kernels/matmul.h on a device. Views are f32 or bf16; a and b, x and w, dy and x are of one dtype,
// outputs of the same. Gradients of weights and biases are f32, and so may any other output be.
// f32 is computed in full fp32, never in TF32; bf16 is summed in fp32 and rounded once.
#pragma once

#include "kernels/matmul.h"

namespace mixspan::cuda {

void matmul(const Exec&, View c, Transpose op_a, ConstView a, Transpose op_b, ConstView b,
            Accumulate);
void linear_forward(const Exec&, View y, ConstView x, ConstView w, ConstView bias);
void linear_residual_forward(const Exec&, View y, ConstView x, ConstView w, ConstView bias,
                             ConstView residual);
void linear_gelu_forward(const Exec&, View y, View pre, ConstView x, ConstView w, ConstView bias);
void linear_backward(const Exec&, View dx, View dw, View dbias, ConstView dy, ConstView x,
                     ConstView w);
void linear_gelu_input_gradient(const Exec&, View dpre, ConstView dy, ConstView w, ConstView pre);

}  // namespace mixspan::cuda
