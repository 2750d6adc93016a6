#include "kernels/matmul.h"

#include <algorithm>
#include <optional>

#include "core/trace.h"
#include "kernels/chunks.h"
#include "kernels/cuda/matmul.h"
#include "kernels/gelu.h"
#include "kernels/matmul_bf16.h"
#include "kernels/sgemm.h"
#include "kernels/simd/row_ops.h"
#include "kernels/tile_ranges.h"

namespace mixspan {

namespace {

// A block of the result: rows [row, row + rows), columns [col, col + cols).
struct Tile {
  std::int64_t row, rows, col, cols;
};

// Cuts a result of (M, N) into tiles; one sgemm on one thread computes each. A function of the
// shape alone. A library call packs anew what it cannot read where it lies, so tiles are large.
class Tiling {
 public:
  static constexpr std::int64_t kCols = 384;

  Tiling(std::int64_t M, std::int64_t N) : M_(M), N_(N) {
    if (M == 0 || N == 0) return;
    across_ = chunk_count(N, kCols);
    down_ = chunk_count(M, kRows);
    // A few tiles would leave threads idle at the end: cut the rows finer until they share evenly.
    while (across_ * down_ < kManyTiles && across_ * down_ % kShare != 0 &&
           M / (down_ + 1) >= kFewestRows) {
      ++down_;
    }
    rows_ = round_up(chunk_count(M, down_), 16);
    cols_ = round_up(chunk_count(N, across_), 16);
    down_ = chunk_count(M, rows_);
    across_ = chunk_count(N, cols_);
  }
  std::int64_t size() const { return across_ * down_; }
  Tile operator[](std::int64_t i) const {
    const std::int64_t row = i / across_ * rows_, col = i % across_ * cols_;
    return {row, std::min(rows_, M_ - row), col, std::min(cols_, N_ - col)};
  }

 private:
  static constexpr std::int64_t kRows = 512, kFewestRows = 96;
  static constexpr std::int64_t kManyTiles = 16, kShare = 4;

  std::int64_t M_, N_, across_ = 0, down_ = 0, rows_ = 0, cols_ = 0;
};

// How many columns of a transposed right operand (N, K) are turned into rows at a time, for M rows
// of the left one; 0: none. The library multiplies by rows where they lie, but packs columns anew
// for each tile: (1024, 384) by a transposed (1152, 384) runs at 197 GFLOP/s instead of 173, (4096,
// 768) by (2304, 768) at 216 instead of 208. A few rows are not worth the copy. All columns, or
// those of some tiles that take 8 MiB at most; one tile's at least.
std::int64_t cols_turned_at_a_time(std::int64_t M, std::int64_t N, std::int64_t K) {
  constexpr std::int64_t kFewestRows = 512, kMostNumbers = std::int64_t{2} << 20;
  if (M < kFewestRows || N == 0 || K == 0) return 0;
  const std::int64_t most = std::max<std::int64_t>(1, kMostNumbers / K / Tiling::kCols);
  const std::int64_t parts = chunk_count(N, most * Tiling::kCols);
  return std::min(N, round_up(chunk_count(N, parts), Tiling::kCols));
}

Shape turned_shape(std::int64_t cols, std::int64_t K) {
  return {K, row_stride(cols, DType::f32, DeviceKind::cpu)};
}

// c(M, N) = op(a)(M, K) op(b)(K, N), or c += where `add`. The shapes are checked when it is made.
class Product {
 public:
  Product(std::string_view name, View c, Transpose op_a, ConstView a, Transpose op_b, ConstView b,
          bool add)
      : c_(c),
        a_(a),
        b_(b),
        trans_a_(op_a == Transpose::yes),
        trans_b_(op_b == Transpose::yes),
        add_(add),
        K_(a.dim(trans_a_ ? 0 : 1)),
        tiling_(c.dim(0), c.dim(1)) {
    const std::int64_t M = c.dim(0), N = c.dim(1);
    check_shape(name, a, trans_a_ ? Shape{K_, M} : Shape{M, K_});
    check_shape(name, b, trans_b_ ? Shape{N, K_} : Shape{K_, N});
  }

  std::int64_t tile_count() const { return tiling_.size(); }
  Tile tile(std::int64_t i) const {
    Tile t = tiling_[i];
    t.col += first_col_;
    return t;
  }
  void run(const Tile& t) const {
    const std::int64_t col = t.col - first_col_;
    const float* a = a_.data<float>() + (trans_a_ ? t.row : t.row * a_.stride(0));
    const float* b = b_.data<float>() + (trans_b_ ? col * b_.stride(0) : col);
    float* c = c_.data<float>() + t.row * c_.stride(0) + t.col;
    if (K_ > 0) {
      sgemm(t.rows, t.cols, K_, {a, a_.stride(0), trans_a_}, {b, b_.stride(0), trans_b_}, c,
            c_.stride(0), add_);
    } else if (!add_) {
      for (std::int64_t r = 0; r < t.rows; ++r) std::fill_n(c + r * c_.stride(0), t.cols, 0.0f);
    }
  }

  // How many columns of op(b) are turned into rows at a time, before they are multiplied; 0: none.
  std::int64_t cols_to_turn() const {
    return trans_b_ ? cols_turned_at_a_time(c_.dim(0), c_.dim(1), K_) : 0;
  }
  // The product for these columns; overwrites `rows` with them.
  Product turned(const Exec& exec, Range cols, View rows) const {
    const simd::RowOps& ops = simd::row_ops(exec.isa);
    for_each_chunk(exec.threads, cols.size(), kTurned, [&](auto begin, auto end, auto) {
      ops.transpose(rows.data<float>() + begin, rows.stride(0),
                    b_.data<float>() + (cols.begin + begin) * b_.stride(0), b_.stride(0),
                    end - begin, K_);
    });
    Product part = *this;
    part.b_ = rows;
    part.trans_b_ = false;
    part.first_col_ = cols.begin;
    part.tiling_ = Tiling(c_.dim(0), cols.size());
    return part;
  }
  std::int64_t cols() const { return c_.dim(1); }
  std::int64_t depth() const { return K_; }

 private:
  static constexpr std::int64_t kTurned = 64;  // columns that a thread turns at a time

  View c_;
  ConstView a_, b_;
  bool trans_a_, trans_b_, add_;
  std::int64_t K_;
  std::int64_t first_col_ = 0;  // columns of c that lie before b's
  Tiling tiling_;
};

float* at(const View& v, std::int64_t row, std::int64_t col) {
  return v.data<float>() + row * v.stride(0) + col;
}
const float* at(const ConstView& v, std::int64_t row, std::int64_t col) {
  return v.data<float>() + row * v.stride(0) + col;
}

// Calls body(product, tile) on all threads for each tile of the result.
template <class Body>
void for_each_tile(const Exec& exec, const Product& product, Body body) {
  const auto share_out = [&](const Product& part) {
    exec.threads.for_each(part.tile_count(),
                          [&](std::int64_t i, int) { body(part, part.tile(i)); });
  };
  const std::int64_t cols = product.cols_to_turn();
  if (cols == 0) return share_out(product);
  const Arena::Scope scope(exec.scratch);
  const View rows = exec.scratch.allocate("columns as rows", turned_shape(cols, product.depth()));
  for (std::int64_t col = 0; col < product.cols(); col += cols) {
    share_out(product.turned(exec, {col, std::min(col + cols, product.cols())}, rows));
  }
}

// The product, with `before(row, tile)` run on each row of a tile to set what it is added to, and
// `after(row, tile)` on each row of the finished tile, while it is in cache.
template <class Before, class After>
void run(const Exec& exec, const Product& product, Before before, After after) {
  for_each_tile(exec, product, [&](const Product& part, const Tile& t) {
    for (std::int64_t r = t.row; r < t.row + t.rows; ++r) before(r, t);
    part.run(t);
    for (std::int64_t r = t.row; r < t.row + t.rows; ++r) after(r, t);
  });
}

constexpr auto kNothing = [](std::int64_t, const Tile&) {};

bool in_bf16(const Exec& exec) { return exec.precision == Precision::bf16; }

void check_bias(std::string_view name, const ConstView& bias, std::int64_t F) {
  if (!bias.empty()) check_shape(name, bias, {F});
}

}  // namespace

std::int64_t row_stride(std::int64_t cols, DType dtype, DeviceKind device) {
  constexpr std::int64_t kPage = 4096 / sizeof(float), kLine = 16;
  const bool meet = device == DeviceKind::cpu && dtype == DType::f32 && cols % kPage == 0;
  return cols + (meet ? kLine : 0);
}

std::int64_t linear_scratch_bytes(std::int64_t M, std::int64_t F, std::int64_t C) {
  const std::int64_t cols = cols_turned_at_a_time(M, F, C);
  return cols == 0 ? 0 : turned_shape(cols, C).size() * static_cast<std::int64_t>(sizeof(float));
}

void matmul(const Exec& exec, View c, Transpose op_a, ConstView a, Transpose op_b, ConstView b,
            Accumulate accumulate) {
  const TraceRange range(exec.tracer, "matmul");
  if (exec.device.is_cuda()) return cuda::matmul(exec, c, op_a, a, op_b, b, accumulate);
  if (exec.oracle) return oracle::matmul(c, op_a, a, op_b, b, accumulate);
  const Product product("matmul", c, op_a, a, op_b, b, accumulate == Accumulate::add);
  if (in_bf16(exec)) return bf16_product::matmul(exec, c, op_a, a, op_b, b, accumulate);
  run(exec, product, kNothing, kNothing);
}

void linear_forward(const Exec& exec, View y, ConstView x, ConstView w, ConstView bias) {
  const TraceRange range(exec.tracer, "matmul");
  if (exec.device.is_cuda()) return cuda::linear_forward(exec, y, x, w, bias);
  if (exec.oracle) return oracle::linear_forward(y, x, w, bias);
  check_bias("linear_forward: bias", bias, y.dim(1));
  const Product product("linear_forward", y, Transpose::no, x, Transpose::yes, w, false);
  if (in_bf16(exec)) return bf16_product::linear_forward(exec, y, x, w, bias, {});
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  run(exec, product, kNothing, [&](std::int64_t r, const Tile& t) {
    if (!bias.empty()) ops.add(at(y, r, t.col), bias.data<float>() + t.col, t.cols);
  });
}

void linear_residual_forward(const Exec& exec, View y, ConstView x, ConstView w, ConstView bias,
                             ConstView residual) {
  const TraceRange range(exec.tracer, "matmul");
  if (exec.device.is_cuda()) {
    return cuda::linear_residual_forward(exec, y, x, w, bias, residual);
  }
  if (exec.oracle) return oracle::linear_residual_forward(y, x, w, bias, residual);
  check_bias("linear_residual_forward: bias", bias, y.dim(1));
  check_shape("linear_residual_forward: residual", residual, y.shape());
  const Product product("linear_residual_forward", y, Transpose::no, x, Transpose::yes, w, true);
  if (in_bf16(exec)) return bf16_product::linear_forward(exec, y, x, w, bias, residual);
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  const auto start = [&](std::int64_t r, const Tile& t) {
    float* out = at(y, r, t.col);
    const float* in = at(residual, r, t.col);
    if (!bias.empty()) {
      ops.sum_of(out, in, bias.data<float>() + t.col, t.cols);
    } else if (out != in) {
      std::copy_n(in, t.cols, out);
    }
  };
  run(exec, product, start, kNothing);
}

void linear_gelu_forward(const Exec& exec, View y, View pre, ConstView x, ConstView w,
                         ConstView bias) {
  const TraceRange range(exec.tracer, "matmul");
  if (exec.device.is_cuda()) return cuda::linear_gelu_forward(exec, y, pre, x, w, bias);
  if (exec.oracle) return oracle::linear_gelu_forward(y, pre, x, w, bias);
  check_bias("linear_gelu_forward: bias", bias, y.dim(1));
  if (!pre.empty()) check_shape("linear_gelu_forward: pre", pre, y.shape());
  const View sums = pre.empty() ? y : pre;
  const Product product("linear_gelu_forward", sums, Transpose::no, x, Transpose::yes, w, false);
  if (in_bf16(exec)) return bf16_product::linear_gelu_forward(exec, y, pre, x, w, bias);
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  run(exec, product, kNothing, [&](std::int64_t r, const Tile& t) {
    if (!bias.empty()) ops.add(at(sums, r, t.col), bias.data<float>() + t.col, t.cols);
    ops.gelu(at(y, r, t.col), at(sums, r, t.col), t.cols);
  });
}

void linear_backward(const Exec& exec, View dx, View dw, View dbias, ConstView dy, ConstView x,
                     ConstView w) {
  const TraceRange range(exec.tracer, "matmul");
  if (exec.device.is_cuda()) return cuda::linear_backward(exec, dx, dw, dbias, dy, x, w);
  if (exec.oracle) return oracle::linear_backward(dx, dw, dbias, dy, x, w);
  const std::int64_t rows = dy.dim(0), F = dy.dim(1);
  check_bias("linear_backward: dbias", dbias, F);
  const Product weights("linear_backward: dw", dw, Transpose::yes, dy, Transpose::no, x, true);
  std::optional<Product> inputs;
  if (!dx.empty()) {
    inputs.emplace("linear_backward: dx", dx, Transpose::no, dy, Transpose::no, w, false);
  }
  if (in_bf16(exec)) return bf16_product::linear_backward(exec, dx, dw, dbias, dy, x, w);
  const Arena::Scope scope = exec.scratch.scope();
  // dbias: each piece of rows is summed alone, then the pieces are added in order.
  constexpr std::int64_t kPiece = 128;
  const std::int64_t pieces = dbias.empty() ? 0 : chunk_count(rows, kPiece);
  const View sums = exec.scratch.allocate("linear_backward: dbias", {pieces, F});
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  const auto sum_piece = [&](std::int64_t p) {
    float* sum = at(sums, p, 0);
    std::fill_n(sum, F, 0.0f);
    for (std::int64_t r = p * kPiece; r < std::min(rows, (p + 1) * kPiece); ++r) {
      ops.add(sum, at(dy, r, 0), F);
    }
  };
  // One loop for all three: the long tiles of dw first, so that threads end together.
  const std::int64_t dw_tiles = weights.tile_count();
  const std::int64_t dx_tiles = inputs ? inputs->tile_count() : 0;
  exec.threads.for_each(dw_tiles + dx_tiles + pieces, [&](std::int64_t i, int) {
    if (i < dw_tiles) return weights.run(weights.tile(i));
    if (i < dw_tiles + dx_tiles) return inputs->run(inputs->tile(i - dw_tiles));
    sum_piece(i - dw_tiles - dx_tiles);
  });
  for (std::int64_t p = 0; p < pieces; ++p) ops.add(dbias.data<float>(), at(sums, p, 0), F);
}

void linear_gelu_input_gradient(const Exec& exec, View dpre, View act, ConstView dy, ConstView w,
                                ConstView pre) {
  check_shape("linear_gelu_input_gradient: pre", pre, dpre.shape());
  if (!act.empty()) check_shape("linear_gelu_input_gradient: act", act, dpre.shape());
  if (exec.device.is_cuda()) {
    {
      const TraceRange range(exec.tracer, "matmul");
      cuda::linear_gelu_input_gradient(exec, dpre, dy, w, pre);
    }
    if (!act.empty()) gelu_forward(exec, act, pre);
    return;
  }
  if (exec.oracle) return oracle::linear_gelu_input_gradient(dpre, act, dy, w, pre);
  if (in_bf16(exec)) {  // whose columns are too narrow to do it while they are in cache
    matmul(exec, dpre, Transpose::no, dy, Transpose::no, w);
    return gelu_backward(exec, dpre, dpre, pre, act);
  }
  const TraceRange range(exec.tracer, "matmul");
  const Product product("linear_gelu_input_gradient", dpre, Transpose::no, dy, Transpose::no, w,
                        false);
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  run(exec, product, kNothing, [&](std::int64_t r, const Tile& t) {
    float* d = at(dpre, r, t.col);
    const float* x = at(pre, r, t.col);
    if (act.empty()) return ops.gelu_backward(d, d, x, t.cols);
    ops.gelu_and_backward(at(act, r, t.col), d, d, x, t.cols);
  });
}

}  // namespace mixspan
