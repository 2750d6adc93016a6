// Forward: each task takes a segment of queries of one key/value head through the keys, tile by
// tile, so that a tile of keys is transposed once for all queries and query heads that read it.
#include <cmath>
#include <limits>
#include <numbers>

#include "kernels/attention_passes.h"

namespace mixspan::attention {

namespace {

// Products in which ahead.step() is called: about this many.
constexpr std::int64_t kCallsPerTile = 22;

// Long enough to use a transposed tile often, short enough that o stays in the second-level cache;
// shorter where there are few heads to share among threads. From the shapes alone.
Segments forward_segments(const Sizes& s) {
  constexpr std::int64_t kMostRows = 16 * kTileRows, kTasks = 16;
  const std::int64_t wanted = (s.Tq * s.B * s.K + kTasks - 1) / kTasks;
  const std::int64_t rows = std::clamp((wanted + kTileRows - 1) / kTileRows * kTileRows,
                                       std::int64_t{kTileRows}, kMostRows);
  return {rows, (s.Tq + rows - 1) / rows};
}

// One worker's memory.
struct Work {
  float *keys_t, *values, *scores, *o, *largest, *sums, *q, *rounded;
  std::int64_t floats;

  Work(float* begin, const Sizes& s, const Segments& segments, const TileKernels& kernels) {
    Pieces pieces(begin);
    const std::int64_t rows = segments.rows * s.group;
    const bool pairs = kernels.left != nullptr;
    keys_t = pieces.take(s.H * kTileStride);
    values = pieces.take(kTileKeys * s.padded);
    scores = pieces.take(kTileRows * kTileStride);
    o = pieces.take(rows * s.padded);
    largest = pieces.take(rows);
    sums = pieces.take(rows * kernels.lanes);
    q = pieces.take(pairs ? rows * s.half_head() : 0);
    rounded = pieces.take(pairs ? kTileRows * kTileKeys / 2 : 0);
    floats = pieces.taken();
  }
};

class Forward {
 public:
  Forward(const ForwardPass& pass, const TileKernels& kernels)
      : pass_(pass),
        kernels_(kernels),
        sizes_(pass.q, pass.k, pass.rule, kernels.padding),
        segments_(forward_segments(sizes_)) {}

  void run(const Exec& ex) {
    auto scope = ex.scratch.scope();
    const Reaches reaches(ex.scratch, pass_.rule, sizes_);
    const std::int64_t floats = work(nullptr).floats;
    float* memory =
        ex.scratch.allocate("attention forward", {ex.threads.size(), floats}).data<float>();
    ex.threads.for_each(sizes_.B * sizes_.K * segments_.count, [&](std::int64_t item, int worker) {
      const Task task(item, sizes_, segments_);
      segment(task, reaches.of(task.b), work(memory + worker * floats));
    });
  }

 private:
  Work work(float* begin) const { return Work(begin, sizes_, segments_, kernels_); }

  void segment(const Task& task, Reach reach, const Work& w) {
    const Range queries = queries_of(task);
    const Range tiles = reach.key_tiles(queries);
    const Ring ring = ring_for(reach, queries);
    fetch_first(task, reach, queries, {&pass_.k, &pass_.v}, {&pass_.q});
    // Tiles of rows begun and finished; keys come in order, so rows begin and end in order too.
    std::int64_t begun = 0, finished = 0;
    for (std::int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
      const Range seeing = reach.row_tiles(tile, queries);
      while (finished < seeing.begin) finish_rows(task, w, ring, finished++);
      const std::int64_t first_new = begun;
      while (begun < seeing.end) begin_rows(task, w, ring, begun++);
      key_tile(task, reach, w, ring, tile, first_new);
    }
    while (finished * kTileRows < queries.size()) {
      if (finished == begun) {  // these rows read no key
        begin_rows(task, w, ring, begun++);
        clear_sums(w, ring, finished);
      }
      finish_rows(task, w, ring, finished++);
    }
  }

  float score_scale() const { return static_cast<float>(pass_.rule.scale * std::numbers::log2e); }
  Range queries_of(const Task& task) const { return segments_.range(task.segment, sizes_.Tq); }

  void begin_rows(const Task& task, const Work& w, const Ring& ring, std::int64_t m) const {
    const std::int64_t at = ring.row(m, 0), count = sizes_.group * kTileRows;
    const Range rows = rows_of_tile(m, queries_of(task));
    for (std::int64_t g = 0; kernels_.left != nullptr && g < sizes_.group; ++g) {
      kernels_.left(w.q + ring.row(m, g) * sizes_.half_head(),
                    rows_of(pass_.q, task.b, task.head * sizes_.group + g).from(rows.begin),
                    static_cast<int>(rows.size()), static_cast<int>(sizes_.H));
    }
    std::fill_n(w.largest + at, count, std::numeric_limits<float>::lowest());
  }

  void clear_sums(const Work& w, const Ring& ring, std::int64_t m) const {
    const std::int64_t at = ring.row(m, 0), count = sizes_.group * kTileRows;
    std::fill_n(w.o + at * sizes_.padded, count * sizes_.padded, 0.0f);
    std::fill_n(w.sums + at * kernels_.lanes, count * kernels_.lanes, 0.0f);
  }

  // Tiles of rows from `first_new` on have met no keys before.
  void key_tile(const Task& task, Reach reach, const Work& w, const Ring& ring,
                std::int64_t tile_index, std::int64_t first_new) {
    const Range queries = queries_of(task);
    const Range keys = reach.keys_of(tile_index);
    const auto count = static_cast<int>(keys.size());
    const Rows all_k = rows_of(pass_.k, task.b, task.head);
    const Rows all_v = rows_of(pass_.v, task.b, task.head);
    const float* v = right_operand(kernels_, all_v.from(keys.begin), count, sizes_, w.values);
    kernels_.transpose(w.keys_t, all_k.from(keys.begin), count, static_cast<int>(sizes_.H),
                       kernels_.left == nullptr ? score_scale() : 1.0f);
    const Range seeing = reach.row_tiles(tile_index, queries);
    Ahead ahead(seeing.size() * sizes_.group, kCallsPerTile);
    const Range next =
        intersection(reach.keys_of(tile_index + 1), {0, reach.positions(queries).end});
    ahead.add(all_k.from(next.begin), next.size(), sizes_.H);
    ahead.add(all_v.from(next.begin), next.size(), sizes_.H);
    const Range coming = rows_of_tile(seeing.end, queries),
                going = rows_of_tile(seeing.begin, queries);
    ahead.add(rows_of(pass_.q, task.b, task.head * sizes_.group).from(coming.begin), coming.size(),
              sizes_.H * sizes_.group);
    ahead.add(output_of(pass_.o, task.b, task.head * sizes_.group, going.begin), going.size(),
              sizes_.H * sizes_.group);
    RowEdges memory;
    for (std::int64_t m = seeing.begin; m < seeing.end; ++m) {
      const Range rows = rows_of_tile(m, queries);
      const RowEdges& edges = edges_of(reach, rows, keys, memory);
      for (std::int64_t g = 0; g < sizes_.group; ++g) {
        const std::int64_t n = task.head * sizes_.group + g;
        ForwardTile tile = tile_of(w, ring.row(m, g), static_cast<int>(rows.size()));
        tile.keys = count;
        tile.first = m >= first_new;
        tile.edges = &edges;
        tile.ahead = &ahead;
        tile.q = kernels_.left == nullptr
                     ? rows_of(pass_.q, task.b, n).from(rows.begin)
                     : Rows{w.q + ring.row(m, g) * sizes_.half_head(), sizes_.half_head()};
        tile.v = v;
        kernels_.forward(tile);
      }
    }
  }

  // The parts of a tile that belong to its rows.
  ForwardTile tile_of(const Work& w, std::int64_t at, int rows) const {
    ForwardTile tile{};
    tile.rows = rows;
    tile.head = static_cast<int>(sizes_.H);
    tile.padded = static_cast<int>(sizes_.padded);
    tile.score_scale = score_scale();
    tile.keys_t = w.keys_t;
    tile.scores = w.scores;
    tile.rounded = w.rounded;
    tile.o = w.o + at * sizes_.padded;
    tile.largest = w.largest + at;
    tile.sums = w.sums + at * kernels_.lanes;
    return tile;
  }

  void finish_rows(const Task& task, const Work& w, const Ring& ring, std::int64_t m) const {
    const View& lse = pass_.lse;
    const Range rows = rows_of_tile(m, queries_of(task));
    const std::int64_t first = rows.begin;
    const auto count = static_cast<int>(rows.size());
    for (std::int64_t g = 0; g < sizes_.group; ++g) {
      const std::int64_t n = task.head * sizes_.group + g;
      float* out_lse = lse.data<float>() + task.b * lse.stride(0) + n * lse.stride(1) + first;
      const ForwardTile tile = tile_of(w, ring.row(m, g), count);
      float totals[kTileRows];
      kernels_.normalise(output_of(pass_.o, task.b, n, first), totals, tile);
      for (int r = 0; r < count; ++r) {
        out_lse[r] = static_cast<float>(static_cast<double>(tile.largest[r]) * std::numbers::ln2 +
                                        std::log(totals[r]));
      }
    }
  }

  const ForwardPass& pass_;
  const TileKernels& kernels_;
  Sizes sizes_;
  Segments segments_;
};

}  // namespace

void run_forward(const Exec& ex, const ForwardPass& pass, const TileKernels& kernels) {
  Forward(pass, kernels).run(ex);
}

}  // namespace mixspan::attention
