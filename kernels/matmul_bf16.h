// The products of matmul.h with operands rounded to bf16; shapes are already checked there.
// Operands and results may also be stored as bf16, but for what sums begin with: c that is added
// to, dw, dbias, bias, start.
#pragma once

#include "kernels/matmul.h"

namespace mixspan::bf16_product {

void matmul(const Exec&, View c, Transpose op_a, ConstView a, Transpose op_b, ConstView b,
            Accumulate);
/// y = x w^T + start + bias, the last two where they are not empty.
void linear_forward(const Exec&, View y, ConstView x, ConstView w, ConstView bias, ConstView start);
/// Without `pre` y holds the sums until it becomes their GELU.
void linear_gelu_forward(const Exec&, View y, View pre, ConstView x, ConstView w, ConstView bias);
void linear_backward(const Exec&, View dx, View dw, View dbias, ConstView dy, ConstView x,
                     ConstView w);

}  // namespace mixspan::bf16_product
