// The right operand is packed for all threads, a block at a time; then each item of work packs some
// rows of the left one, which stay in a core's second-level cache, and goes through the columns.
#include "kernels/bf16_products.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>

#include "kernels/chunks.h"
#include "kernels/simd/row_ops.h"
#include "kernels/tile_ranges.h"

namespace mixspan::bf16_product {

namespace {

/// How a product is cut: blocks of the packed right operand (columns x depth), and in each of them
/// items of rows x columns. A function of the sizes alone, and of whether all of the depth has to
/// be in one block.
class Cut {
 public:
  Cut(std::int64_t M, std::int64_t N, std::int64_t K, bool whole_depth) : M_(M), N_(N), K_(K) {
    if (M == 0 || N == 0) return;
    // Of bf16, two bytes each: a block fits in a share of the third-level cache, and a sum over it
    // is long enough that to load and store c costs nothing.
    constexpr std::int64_t kMostInBlock = std::int64_t{4} << 20, kMostDepth = 4096;
    constexpr std::int64_t kFewestDeep = 1024;
    block_cols_ = round_up(chunk_count(N, chunk_count(N, kMostInBlock / kFewestDeep)), kTileCols);
    across_ = chunk_count(N, block_cols_);
    const std::int64_t most = whole_depth ? std::max<std::int64_t>(K, 1)
                                          : std::min(kMostDepth, kMostInBlock / block_cols_);
    const std::int64_t blocks = std::max<std::int64_t>(1, chunk_count(K, most));
    depth_ = std::max<std::int64_t>(2 * kLanes, round_up(chunk_count(K, blocks), 2 * kLanes));
    deep_ = std::max<std::int64_t>(1, chunk_count(K, depth_));
    // Rows of an item: as packed they take at most 400 KB, less than half of a second-level cache.
    constexpr std::int64_t kMostRows = 192, kMostInItem = 200 << 10, kManyItems = 16;
    rows_ = std::clamp(kMostInItem / depth_ / kPackRows * kPackRows, std::int64_t{3 * kPackRows},
                       kMostRows);
    rows_ = std::min(rows_, round_up(chunk_count(M, chunk_count(M, rows_)), kPackRows));
    const std::int64_t down = chunk_count(M, rows_), panels = chunk_count(block_cols_, kTileCols);
    // Few rows: share the columns out too, though each item then packs the same rows again.
    const std::int64_t parts = std::clamp(chunk_count(kManyItems, down), std::int64_t{1},
                                          std::max<std::int64_t>(1, panels / 4));
    item_cols_ = chunk_count(panels, parts) * kTileCols;
  }
  /// Blocks come column by column, in each from the first of the depth to the last.
  std::int64_t blocks() const { return across_ * deep_; }
  std::int64_t packed_size() const { return block_cols_ * depth_ / 2; }  // pairs
  std::int64_t item_rows() const { return rows_; }
  std::int64_t item_packed_size() const { return rows_ * depth_ / 2; }  // pairs
  Range cols(std::int64_t block) const {
    const std::int64_t begin = block / deep_ * block_cols_;
    return {begin, std::min(begin + block_cols_, N_)};
  }
  Range depth(std::int64_t block) const {
    const std::int64_t begin = block % deep_ * depth_;
    return {begin, std::min(begin + depth_, K_)};
  }
  bool first_of_depth(std::int64_t block) const { return block % deep_ == 0; }
  bool last_of_depth(std::int64_t block) const { return block % deep_ == deep_ - 1; }

  struct Item {
    Range rows, cols;
  };
  std::int64_t items(std::int64_t block) const {
    return chunk_count(M_, rows_) * chunk_count(cols(block).size(), item_cols_);
  }
  Item item(std::int64_t block, std::int64_t i) const {
    const Range all = cols(block);
    const std::int64_t parts = chunk_count(all.size(), item_cols_);
    const std::int64_t row = i / parts * rows_, col = all.begin + i % parts * item_cols_;
    return {{row, std::min(row + rows_, M_)}, {col, std::min(col + item_cols_, all.end)}};
  }

 private:
  std::int64_t M_, N_, K_;
  std::int64_t across_ = 0, deep_ = 1, block_cols_ = 0, depth_ = 0, rows_ = 1, item_cols_ = 1;
};

// The source from row `row` and place `k` on.
Source from(Source s, std::int64_t row, std::int64_t k) {
  const std::int64_t at = s.by_depth ? k * s.stride + row : row * s.stride + k;
  s.data = static_cast<const std::byte*>(s.data) + at * (s.is_bf16 ? 2 : 4);
  return s;
}

float* float_at(const Target& t, std::int64_t row, std::int64_t col) {
  return static_cast<float*>(t.data) + row * t.stride + col;
}

class Running {
 public:
  Running(const Exec& ex, const Product& product)
      : product_(product),
        rounds_(product.c.is_bf16 || product.gelu.is_bf16),
        cut_(product.M, product.N, product.K, rounds_),
        kernels_(kernels(ex.isa)),
        ops_(simd::row_ops(ex.isa)) {
    if (blocks() == 0) return;
    right_ = ex.scratch.allocate("packed right operand", {cut_.packed_size()}, DType::i32).raw();
    left_size_ = round_up(cut_.item_packed_size(), 16);
    left_ = ex.scratch.allocate("packed left operands", {ex.threads.size(), left_size_}, DType::i32)
                .raw();
    if (!rounds_) return;
    sums_ =
        ex.scratch
            .allocate("sums to be rounded", {ex.threads.size(), cut_.item_rows() + 1, kTileCols})
            .data<float>();
  }

  std::int64_t blocks() const { return cut_.blocks(); }
  std::int64_t panels(std::int64_t block) const {
    return chunk_count(cut_.cols(block).size(), kTileCols);
  }
  std::int64_t items(std::int64_t block) const { return cut_.items(block); }

  void pack_panel(std::int64_t block, std::int64_t panel) const {
    const Range depth = cut_.depth(block), all = cut_.cols(block);
    const Range cols{all.begin + panel * kTileCols,
                     std::min(all.begin + (panel + 1) * kTileCols, all.end)};
    const std::int64_t step = round_up(cols.size(), kLanes);
    for (std::int64_t v = 0; v < step; v += kLanes) {
      std::uint32_t* to = right(block, panel, 0, 0) + v;
      kernels_.pack({to, to + kTileRows, step, from(product_.b, cols.begin + v, depth.begin),
                     std::min<std::int64_t>(cols.size() - v, kLanes), depth.size(), nullptr});
    }
  }

  void run_item(std::int64_t block, std::int64_t i, int worker) const {
    const Cut::Item item = cut_.item(block, i);
    const Range depth = cut_.depth(block);
    std::uint32_t* left = static_cast<std::uint32_t*>(left_) + worker * left_size_;
    pack_rows(block, item, left);
    const std::int64_t pairs = chunk_count(depth.size(), 2);
    for (std::int64_t col = item.cols.begin; col < item.cols.end; col += kTileCols) {
      const std::int64_t cols = std::min<std::int64_t>(kTileCols, item.cols.end - col);
      const std::int64_t panel = (col - cut_.cols(block).begin) / kTileCols;
      // A panel's piece that stays in the first-level cache while all rows pass by.
      const std::int64_t pieces = std::max<std::int64_t>(1, chunk_count(pairs, kPiecePairs));
      const std::int64_t length = chunk_count(pairs, pieces);
      for (std::int64_t p = 0; p < pieces; ++p) {
        const Range piece{p * length, std::min((p + 1) * length, pairs)};
        sum_column(block, item.rows, {col, col + cols}, piece, left, pairs,
                   right(block, panel, piece.begin, round_up(cols, kLanes)),
                   sums_of(worker, item.rows, col));
      }
      if (cut_.last_of_depth(block)) finish_column(worker, item.rows, col, cols);
    }
  }

 private:
  static constexpr std::int64_t kPiecePairs = 256;

  // Where a column's sums are taken: in c, or in the worker's memory where they are still to be
  // rounded.
  Target sums_of(int worker, Range rows, std::int64_t col) const {
    if (!rounds_) return {float_at(product_.c, rows.begin, col), product_.c.stride};
    return {sums_ + worker * (cut_.item_rows() + 1) * kTileCols, kTileCols};
  }

  // What becomes of sums that are complete.
  void finish_column(int worker, Range rows, std::int64_t col, std::int64_t cols) const {
    const Target& gelu = product_.gelu;
    if (!rounds_ && gelu.data == nullptr) return;
    const Target sums = sums_of(worker, rows, col);
    float* const activated = rounds_ ? float_at(sums, cut_.item_rows(), 0) : nullptr;
    for (std::int64_t r = rows.begin; r < rows.end; ++r) {
      const float* sum = float_at(sums, r - rows.begin, 0);
      if (gelu.data != nullptr) {
        float* to = gelu.is_bf16 ? activated : float_at(gelu, r, col);
        ops_.gelu(to, sum, cols);
        if (gelu.is_bf16) put(gelu, r, col, to, cols);
      }
      if (rounds_ && product_.c.data != gelu.data) put(product_.c, r, col, sum, cols);
    }
  }

  void put(const Target& t, std::int64_t row, std::int64_t col, const float* x,
           std::int64_t n) const {
    if (!t.is_bf16) {
      std::copy_n(x, n, float_at(t, row, col));
    } else {
      kernels_.round(static_cast<std::uint16_t*>(t.data) + row * t.stride + col, x, n);
    }
  }

  // Pair `pair` of a panel of the block, whose rows of pairs are `step` long.
  std::uint32_t* right(std::int64_t block, std::int64_t panel, std::int64_t pair,
                       std::int64_t step) const {
    const std::int64_t pairs = chunk_count(cut_.depth(block).size(), 2);
    return static_cast<std::uint32_t*>(right_) + panel * kTileCols * pairs + pair * step;
  }

  void pack_rows(std::int64_t block, const Cut::Item& item, std::uint32_t* left) const {
    const Range depth = cut_.depth(block);
    const std::int64_t pairs = chunk_count(depth.size(), 2);
    // Of the items that share rows, the first one sums them.
    const bool sums = product_.a_sums != nullptr && item.cols.begin == 0;
    for (std::int64_t r = item.rows.begin; r < item.rows.end; r += kPackRows) {
      std::uint32_t* to = left + (r - item.rows.begin) * pairs;
      kernels_.pack({to, to + kTileRows * pairs, kTileRows, from(product_.a, r, depth.begin),
                     std::min<std::int64_t>(kPackRows, item.rows.end - r), depth.size(),
                     sums ? product_.a_sums + r : nullptr});
    }
  }

  void sum_column(std::int64_t block, Range rows, Range cols, Range piece,
                  const std::uint32_t* left, std::int64_t pairs, const std::uint32_t* right,
                  Target sums) const {
    const bool first = piece.begin == 0 && cut_.first_of_depth(block);
    const bool last = piece.end == pairs && cut_.last_of_depth(block);
    for (std::int64_t r = rows.begin; r < rows.end; r += kTileRows) {
      TileJob job{};
      job.a = left + (r - rows.begin) * pairs + piece.begin * kTileRows;
      job.b = right;
      job.pairs = piece.size();
      job.rows = static_cast<int>(std::min<std::int64_t>(kTileRows, rows.end - r));
      job.cols = static_cast<int>(cols.size());
      job.c = float_at(sums, r - rows.begin, 0);
      job.c_stride = sums.stride;
      if (!first) {
        job.start = job.c;
        job.start_stride = job.c_stride;
      } else if (product_.start != nullptr) {
        job.start = product_.start + r * product_.start_stride + cols.begin;
        job.start_stride = product_.start_stride;
      }
      if (last && product_.bias != nullptr) job.bias = product_.bias + cols.begin;
      kernels_.tile(job);
    }
  }

  const Product& product_;
  bool rounds_;
  Cut cut_;
  const Kernels& kernels_;
  const simd::RowOps& ops_;
  void *right_ = nullptr, *left_ = nullptr;
  float* sums_ = nullptr;
  std::int64_t left_size_ = 0;
};

}  // namespace

void run(const Exec& ex, std::span<const Product> products) {
  const Arena::Scope scope(ex.scratch);
  constexpr std::size_t kMost = 2;
  check(products.size() <= kMost, "{} products at once", products.size());
  std::array<std::optional<Running>, kMost> running;
  std::int64_t rounds = 0;
  for (std::size_t i = 0; i < products.size(); ++i) {
    running[i].emplace(ex, products[i]);
    rounds = std::max(rounds, running[i]->blocks());
  }
  // Calls body(product, n) for the n-th thing that `count` says a product has to do.
  const auto share_out = [&](auto count, auto body) {
    std::array<std::int64_t, kMost + 1> ends{};
    for (std::size_t i = 0; i < kMost; ++i) {
      ends[i + 1] = ends[i] + (running[i] ? count(*running[i]) : 0);
    }
    ex.threads.for_each(ends[kMost], [&](std::int64_t n, int worker) {
      const std::size_t i = n < ends[1] ? 0 : 1;
      body(*running[i], n - ends[i], worker);
    });
  };
  for (std::int64_t block = 0; block < rounds; ++block) {
    const auto in_block = [&](std::int64_t (Running::*count)(std::int64_t) const) {
      return [=](const Running& r) { return block < r.blocks() ? (r.*count)(block) : 0; };
    };
    share_out(in_block(&Running::panels),
              [&](const Running& r, std::int64_t n, int) { r.pack_panel(block, n); });
    share_out(in_block(&Running::items),
              [&](const Running& r, std::int64_t n, int worker) { r.run_item(block, n, worker); });
  }
}

}  // namespace mixspan::bf16_product
