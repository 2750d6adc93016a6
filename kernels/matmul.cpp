#include "kernels/matmul.h"

#include <algorithm>

#include "kernels/gelu.h"
#include "kernels/sgemm.h"

namespace mixspan {

namespace {

constexpr std::int64_t kTileRows = 256;
constexpr std::int64_t kTileCols = 512;

std::int64_t tiles(std::int64_t size, std::int64_t tile) { return (size + tile - 1) / tile; }

// A block of the result: rows [row, row + rows), columns [col, col + cols).
struct Tile {
  std::int64_t row, rows, col, cols;
};

// One product with checked shapes: c(M, N) (+)= op(a)(M, K) op(b)(K, N).
struct Product {
  Product(std::string_view name, View c_, Transpose op_a, ConstView a_, Transpose op_b,
          ConstView b_, Accumulate accumulate)
      : c(c_),
        a(a_),
        b(b_),
        trans_a(op_a == Transpose::yes),
        trans_b(op_b == Transpose::yes),
        add(accumulate == Accumulate::add),
        M(c.dim(0)),
        N(c.dim(1)),
        K(a.dim(trans_a ? 0 : 1)) {
    check_shape(name, a, trans_a ? Shape{K, M} : Shape{M, K});
    check_shape(name, b, trans_b ? Shape{N, K} : Shape{K, N});
    for (const ConstView& v : {ConstView(c), a, b}) check_dtype(name, v, DType::f32);
  }

  std::int64_t tile_count() const { return tiles(M, kTileRows) * tiles(N, kTileCols); }
  Tile tile(std::int64_t i) const {
    const std::int64_t across = tiles(N, kTileCols);
    const std::int64_t row = i / across * kTileRows, col = i % across * kTileCols;
    return {row, std::min(kTileRows, M - row), col, std::min(kTileCols, N - col)};
  }
  void run(const Tile& t) const {
    const float* a0 = a.data<float>() + (trans_a ? t.row : t.row * a.stride(0));
    const float* b0 = b.data<float>() + (trans_b ? t.col * b.stride(0) : t.col);
    float* c0 = c.data<float>() + t.row * c.stride(0) + t.col;
    if (K == 0) {
      if (!add) clear(t);
      return;
    }
    sgemm(t.rows, t.cols, K, {a0, a.stride(0), trans_a}, {b0, b.stride(0), trans_b}, c0,
          c.stride(0), add);
  }
  void clear(const Tile& t) const {
    for (std::int64_t r = t.row; r < t.row + t.rows; ++r) {
      float* row = c.data<float>() + r * c.stride(0) + t.col;
      std::fill(row, row + t.cols, 0.0f);
    }
  }

  View c;
  ConstView a, b;
  bool trans_a, trans_b, add;
  std::int64_t M, N, K;
};

}  // namespace

void matmul(const Exec& exec, View c, Transpose op_a, ConstView a, Transpose op_b, ConstView b,
            Accumulate accumulate) {
  if (exec.oracle) return oracle::matmul(c, op_a, a, op_b, b, accumulate);
  const Product product("matmul", c, op_a, a, op_b, b, accumulate);
  exec.threads.for_each(product.tile_count(),
                        [&](std::int64_t i, int) { product.run(product.tile(i)); });
}

void linear_forward(const Exec& exec, View y, ConstView x, ConstView w, ConstView bias) {
  if (exec.oracle) return oracle::linear_forward(y, x, w, bias);
  matmul(exec, y, Transpose::no, x, Transpose::yes, w);
  if (bias.empty()) return;
  check_shape("linear_forward: bias", bias, {y.dim(1)});
  for (std::int64_t r = 0; r < y.dim(0); ++r) {
    float* row = y.data<float>() + r * y.stride(0);
    for (std::int64_t c = 0; c < y.dim(1); ++c) row[c] += bias.data<float>()[c];
  }
}

void linear_residual_forward(const Exec& exec, View y, ConstView x, ConstView w, ConstView bias,
                             ConstView residual) {
  if (exec.oracle) return oracle::linear_residual_forward(y, x, w, bias, residual);
  const Arena::Scope scope = exec.scratch.scope();
  const View branch = exec.scratch.allocate("linear_residual_forward", y.shape());
  linear_forward(exec, branch, x, w, bias);
  for (std::int64_t r = 0; r < y.dim(0); ++r) {
    for (std::int64_t c = 0; c < y.dim(1); ++c) {
      y.data<float>()[r * y.stride(0) + c] = residual.data<float>()[r * residual.stride(0) + c] +
                                             branch.data<float>()[r * y.dim(1) + c];
    }
  }
}

void linear_gelu_forward(const Exec& exec, View y, View pre, ConstView x, ConstView w,
                         ConstView bias) {
  if (exec.oracle) return oracle::linear_gelu_forward(y, pre, x, w, bias);
  const View sums = pre.empty() ? y : pre;
  linear_forward(exec, sums, x, w, bias);
  gelu_forward(exec, y, sums);
}

void linear_backward(const Exec& exec, View dx, View dw, View dbias, ConstView dy, ConstView x,
                     ConstView w) {
  if (exec.oracle) return oracle::linear_backward(dx, dw, dbias, dy, x, w);
  if (!dx.empty()) matmul(exec, dx, Transpose::no, dy, Transpose::no, w);
  matmul(exec, dw, Transpose::yes, dy, Transpose::no, x, Accumulate::add);
  if (dbias.empty()) return;
  for (std::int64_t c = 0; c < dy.dim(1); ++c) {
    double sum = 0;
    for (std::int64_t r = 0; r < dy.dim(0); ++r) sum += dy.data<float>()[r * dy.stride(0) + c];
    dbias.data<float>()[c] += static_cast<float>(sum);
  }
}

}  // namespace mixspan
