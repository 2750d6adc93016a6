// Row-major products as column-major ones. A row-major matrix (R, C) with rows `stride` apart is,
// to cuBLASLt, the column-major matrix (C, R) with ld = stride: its transpose. So c = a b becomes
// c^T = b^T a^T: the operands change places and keep their transposes, and m counts our columns.
#include "kernels/cuda/matmul.h"

#include <algorithm>

#include "core/copy.h"
#include "kernels/cuda/gelu_check.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/linear_rows.h"
#include "kernels/gelu.h"

namespace mixspan::cuda {

namespace {

GemmMatrix matrix(std::string_view name, const ConstView& v) {
  const std::int64_t rows = v.dim(0), cols = v.dim(1);
  check(rows <= 1 || v.stride(0) >= cols, "{}: rows of {} elements lie {} apart", name, cols,
        v.stride(0));
  return {v.raw(), v.dtype(), rows <= 1 ? cols : v.stride(0)};
}

// c(M, N) = op(a)(M, K) op(b)(K, N), with the shapes and dtypes checked; + added, where given.
Gemm product(std::string_view name, const View& c, Transpose op_a, const ConstView& a,
             Transpose op_b, const ConstView& b, const ConstView& added = {}) {
  const bool trans_a = op_a == Transpose::yes, trans_b = op_b == Transpose::yes;
  const std::int64_t M = c.dim(0), N = c.dim(1), K = a.dim(trans_a ? 0 : 1);
  check_shape(name, a, trans_a ? Shape{K, M} : Shape{M, K});
  check_shape(name, b, trans_b ? Shape{N, K} : Shape{K, N});
  check(a.dtype() == DType::f32 || a.dtype() == DType::bf16, "{}: wanted f32 or bf16, got {}", name,
        mixspan::name_of(a.dtype()));
  check_dtype(name, b, a.dtype());
  check(c.dtype() == a.dtype() || c.dtype() == DType::f32, "{}: a result of dtype {} of {}", name,
        mixspan::name_of(c.dtype()), mixspan::name_of(a.dtype()));
  Gemm g;
  g.trans_a = trans_b;
  g.trans_b = trans_a;
  g.m = N;
  g.n = M;
  g.k = K;
  g.a = matrix(name, b);
  g.b = matrix(name, a);
  g.d = matrix(name, c);
  if (!added.empty()) {
    check_shape(name, added, c.shape());
    check_dtype(name, added, c.dtype());
    g.c = matrix(name, added);
  }
  return g;
}

bool is_empty(const Gemm& g) { return g.m == 0 || g.n == 0; }

void run(const Exec& ex, std::string_view name, const Gemm& g) {
  if (is_empty(g)) return;
  check(gemm(ex, g), "{}: cuBLASLt has no algorithm for {}", name, key_of(g));
}

// Tries g with an epilogue; false leaves everything as it was.
bool run_fused(const Exec& ex, Gemm g, Epilogue epilogue) {
  if (is_empty(g)) return true;
  g.epilogue = epilogue;
  return gemm(ex, g);
}

void check_bias(std::string_view name, const ConstView& bias, std::int64_t F, DType dtype) {
  if (bias.empty()) return;
  check_shape(name, bias, {F});
  check_dtype(name, bias, dtype);
}

// What cuBLASLt demands of the matrix that a GELU epilogue writes or reads.
bool can_be_aux(const ConstView& v) {
  return v.dim(1) % 8 == 0 && alignment_of(v.raw(), v.dtype(), v.stride(0)) == 16 &&
         v.stride(0) % 8 == 0;
}

// y = x w^T + bias [+ residual].
void linear(const Exec& ex, std::string_view name, const View& y, const ConstView& x,
            const ConstView& w, const ConstView& bias, const ConstView& residual) {
  Gemm g = product(name, y, Transpose::no, x, Transpose::yes, w, residual);
  check_bias(name, bias, y.dim(1), y.dtype());
  if (bias.empty()) return run(ex, name, g);
  g.bias = const_cast<void*>(bias.raw());
  if (run_fused(ex, g, Epilogue::bias)) return;
  // Odd sizes may have no epilogue: the product is added to rows that hold the bias. With a
  // residual that rounds once more, as everything before the product does in y's dtype.
  fill_rows(ex, y, bias, residual);
  g.bias = nullptr;
  g.c = g.d;
  run(ex, name, g);
}

// dw += dy^T x, and dbias += column sums of dy.
void weight_gradient(const Exec& ex, const View& dw, const View& dbias, const ConstView& dy,
                     const ConstView& x) {
  Gemm g = product("linear_backward: dw", dw, Transpose::yes, dy, Transpose::no, x, dw);
  check_bias("linear_backward: dbias", dbias, dy.dim(1), DType::f32);
  if (g.k == 0) return;
  if (!dbias.empty() && libraries_of(ex).options().fuse_bias_gradient) {
    const Arena::Scope scope = ex.scratch.scope();
    // cuBLASLt overwrites; dbias is added to.
    const View sums = ex.scratch.allocate("linear_backward: dbias", {1, dy.dim(1)});
    g.bias = sums.raw();
    if (run_fused(ex, g, Epilogue::bias_gradient)) return add_column_sums(ex, dbias, sums);
    g.bias = nullptr;
  }
  run(ex, "linear_backward: dw", g);
  if (!dbias.empty()) add_column_sums(ex, dbias, dy);
}

}  // namespace

void matmul(const Exec& ex, View c, Transpose op_a, ConstView a, Transpose op_b, ConstView b,
            Accumulate accumulate) {
  const bool add = accumulate == Accumulate::add;
  const Gemm g = product("matmul", c, op_a, a, op_b, b, add ? ConstView(c) : ConstView());
  if (g.k > 0) return run(ex, "matmul", g);
  if (!add && !is_empty(g)) fill_rows(ex, c, {}, {});
}

void linear_forward(const Exec& ex, View y, ConstView x, ConstView w, ConstView bias) {
  linear(ex, "linear_forward", y, x, w, bias, {});
}

void linear_residual_forward(const Exec& ex, View y, ConstView x, ConstView w, ConstView bias,
                             ConstView residual) {
  check_shape("linear_residual_forward: residual", residual, y.shape());
  linear(ex, "linear_residual_forward", y, x, w, bias, residual);
}

void linear_gelu_forward(const Exec& ex, View y, View pre, ConstView x, ConstView w,
                         ConstView bias) {
  constexpr std::string_view name = "linear_gelu_forward";
  if (!pre.empty()) {
    check_shape(name, pre, y.shape());
    check_dtype(name, pre, y.dtype());
    if (libraries_of(ex).options().fuse_gelu && can_be_aux(pre)) {
      check_gelu_epilogue(ex, y.dtype());
      Gemm g = product(name, y, Transpose::no, x, Transpose::yes, w);
      check_bias(name, bias, y.dim(1), y.dtype());
      g.bias = const_cast<void*>(bias.raw());
      g.aux = pre.raw();
      g.aux_ld = pre.stride(0);
      if (run_fused(ex, g, bias.empty() ? Epilogue::gelu_aux : Epilogue::gelu_aux_bias)) return;
    }
  }
  const View sums = pre.empty() ? y : pre;
  linear(ex, name, sums, x, w, bias, {});
  gelu_forward(ex, y, sums);
}

void linear_backward(const Exec& ex, View dx, View dw, View dbias, ConstView dy, ConstView x,
                     ConstView w) {
  weight_gradient(ex, dw, dbias, dy, x);
  if (dx.empty()) return;
  constexpr std::string_view name = "linear_backward: dx";
  run(ex, name, product(name, dx, Transpose::no, dy, Transpose::no, w));
}

void linear_gelu_input_gradient(const Exec& ex, View dpre, ConstView dy, ConstView w,
                                ConstView pre) {
  constexpr std::string_view name = "linear_gelu_input_gradient";
  check_shape(name, pre, dpre.shape());
  check_dtype(name, pre, dpre.dtype());
  Gemm g = product(name, dpre, Transpose::no, dy, Transpose::no, w);
  if (libraries_of(ex).options().fuse_gelu && can_be_aux(pre)) {
    check_gelu_epilogue(ex, dpre.dtype());
    g.aux = const_cast<void*>(pre.raw());
    g.aux_ld = pre.stride(0);
    if (run_fused(ex, g, Epilogue::dgelu)) return;
    g.aux = nullptr;
  }
  run(ex, name, g);
  gelu_backward(ex, dpre, dpre, pre);
}

}  // namespace mixspan::cuda
