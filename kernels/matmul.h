// Matrix products, with the epilogues that save a pass over memory. Where Exec::precision is bf16
// the two operands of each product are rounded to bf16 first (kernels/bf16_tiles.h says exactly
// what is summed); what is added to a product is fp32 all the same.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan {

enum class Transpose { no, yes };
enum class Accumulate { overwrite, add };

/// On a CPU all views are f32; where Exec::precision is bf16, operands and what is only overwritten
/// may each be bf16 instead. On a device they are all f32 (multiplied in full fp32, never in TF32)
/// or all bf16, but for dw and dbias, which are f32 always, and c, which may be; sums are fp32 and
/// rounded once. The rows of any view may be strided.

/// How many numbers apart the rows of a matrix should lie of which products read columns: fp32 on a
/// CPU not by a multiple of 4 KiB, so that the numbers of a column do not meet in one place of a
/// cache (224 GFLOP/s instead of 208 for dw of 1024 rows of 768 and 3072).
std::int64_t row_stride(std::int64_t cols, DType dtype, DeviceKind device);

/// c(M, N) = op(a)(M, K) op(b)(K, N), or c += with Accumulate::add.
/// The sum over K of one element is taken in an order that depends on the shapes alone, so the bits
/// do not depend on the number of threads.
void matmul(const Exec&, View c, Transpose op_a, ConstView a, Transpose op_b, ConstView b,
            Accumulate = Accumulate::overwrite);

/// Scratch that the linear_*forward functions use for fp32 on a CPU.
std::int64_t linear_scratch_bytes(std::int64_t M, std::int64_t F, std::int64_t C);
/// y(M, F) = x(M, C) w(F, C)^T + bias(F). `bias` may be empty. Overwrites y.
void linear_forward(const Exec&, View y, ConstView x, ConstView w, ConstView bias);
/// y = x w^T + bias + residual: the projection that ends a branch. y may be the residual itself.
void linear_residual_forward(const Exec&, View y, ConstView x, ConstView w, ConstView bias,
                             ConstView residual);
/// pre(M, F) = x w^T + bias and y = gelu(pre): the first matrix of an MLP. Overwrites both. An
/// empty `pre` is not stored (generation, and training that recomputes).
void linear_gelu_forward(const Exec&, View y, View pre, ConstView x, ConstView w, ConstView bias);
/// dx(M, C) = dy(M, F) w(F, C), overwrites; dw(F, C) += dy^T x and dbias(F) += column sums of dy,
/// add. An empty dx or dbias is not computed.
void linear_backward(const Exec&, View dx, View dw, View dbias, ConstView dy, ConstView x,
                     ConstView w);
/// dpre(M, C) = (dy(M, F) w(F, C)) gelu'(pre(M, C)): the gradient before the GELU whose result the
/// layer w reads; and act(M, C) = gelu(pre), that result again, unless `act` is empty. Overwrites
/// both; act may be pre. Except for fp32 on a CPU, pre and act are contiguous.
void linear_gelu_input_gradient(const Exec&, View dpre, View act, ConstView dy, ConstView w,
                                ConstView pre);

namespace oracle {
/// Plain loops with fp64 sums; any mix of f32 and f64 views.
void matmul(View c, Transpose op_a, ConstView a, Transpose op_b, ConstView b, Accumulate);
void linear_forward(View y, ConstView x, ConstView w, ConstView bias);
void linear_residual_forward(View y, ConstView x, ConstView w, ConstView bias, ConstView residual);
void linear_gelu_forward(View y, View pre, ConstView x, ConstView w, ConstView bias);
void linear_backward(View dx, View dw, View dbias, ConstView dy, ConstView x, ConstView w);
void linear_gelu_input_gradient(View dpre, View act, ConstView dy, ConstView w, ConstView pre);
}  // namespace oracle

}  // namespace mixspan
