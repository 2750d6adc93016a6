// Backward: each task takes a segment of queries of one key/value head through the keys. It owns
// dq of its queries. dk and dv of a tile of keys go straight to the output when one segment alone
// reads the tile; else each segment writes its part, and the parts are added in the segments'
// order. Tiles that no segment reads are cleared by the first segment's task.
#include <cmath>
#include <cstring>
#include <numbers>

#include "kernels/attention_passes.h"

namespace mixspan::attention {

namespace {

// Products in which ahead.step() is called: about this many.
constexpr std::int64_t kCallsPerTile = 44;

// As few segments as give the threads enough to share: more of them mean more parts to add. From
// the shapes alone.
Segments backward_segments(const Sizes& s) {
  constexpr std::int64_t kFewestRows = 4 * kTileRows, kMost = 8, kTasks = 8;
  const std::int64_t heads = s.B * s.K;
  const std::int64_t wanted = std::clamp((kTasks + heads - 1) / heads, std::int64_t{1}, kMost);
  const std::int64_t even = (s.Tq + wanted - 1) / wanted;
  const std::int64_t rows = std::max((even + kTileRows - 1) / kTileRows * kTileRows, kFewestRows);
  return {rows, (s.Tq + rows - 1) / rows};
}

struct Work {
  float *keys_t, *values_t, *keys, *weights, *dscores, *dk, *dv, *q, *do_, *dq, *lse, *delta;
  float* rounded;
  std::int64_t floats;

  Work(float* begin, const Sizes& s, const Segments& segments) {
    Pieces pieces(begin);
    const std::int64_t rows = segments.rows * s.group;
    keys_t = pieces.take(s.H * kTileStride);
    values_t = pieces.take(s.H * kTileStride);
    keys = pieces.take(kTileKeys * s.padded);
    weights = pieces.take(kTileRows * kTileStride);
    dscores = pieces.take(kTileRows * kTileStride);
    dk = pieces.take(kTileKeys * s.padded);
    dv = pieces.take(kTileKeys * s.padded);
    q = pieces.take(rows * s.padded);
    do_ = pieces.take(rows * s.padded);
    dq = pieces.take(rows * s.padded);
    lse = pieces.take(rows);
    delta = pieces.take(rows);
    rounded = pieces.take(kTileRows * kTileKeys / 2);
    floats = pieces.taken();
  }
};

class Backward {
 public:
  Backward(const BackwardPass& pass, const TileKernels& kernels)
      : pass_(pass),
        kernels_(kernels),
        sizes_(pass.q, pass.k, pass.rule, kernels.padding),
        segments_(backward_segments(sizes_)),
        part_floats_(kTileKeys * sizes_.padded) {}

  void run(const Exec& ex) {
    auto scope = ex.scratch.scope();
    const Reaches reaches(ex.scratch, pass_.rule, sizes_);
    allocate_parts(ex.scratch, reaches);
    const std::int64_t floats = Work(nullptr, sizes_, segments_).floats;
    float* memory =
        ex.scratch.allocate("attention backward", {ex.threads.size(), floats}).data<float>();
    ex.threads.for_each(sizes_.B * sizes_.K * segments_.count, [&](std::int64_t item, int worker) {
      const Task task(item, sizes_, segments_);
      segment(task, reaches.of(task.b), Work(memory + worker * floats, sizes_, segments_));
    });
    if (segments_.count == 1) return;
    const std::int64_t tiles = sizes_.key_tiles();
    ex.threads.for_each(sizes_.B * sizes_.K * tiles, [&](std::int64_t item, int worker) {
      const std::int64_t b = item / tiles / sizes_.K;
      add_parts(b, item / tiles % sizes_.K, item % tiles, reaches.of(b),
                Work(memory + worker * floats, sizes_, segments_));
    });
  }

 private:
  float score_scale() const { return static_cast<float>(pass_.rule.scale * std::numbers::log2e); }
  Range queries_of(std::int64_t s) const { return segments_.range(s, sizes_.Tq); }
  // The segments that read a tile of keys.
  Range readers(Reach reach, std::int64_t tile) const {
    return tiles_of(reach.rows_reading(tile), segments_.rows);
  }

  // Each (segment, tile of keys it reads) has a place for its part of dk and, behind it, dv. Places
  // of tiles with one reader stay untouched, so they cost no memory.
  void allocate_parts(Arena& scratch, const Reaches& reaches) {
    View begins = scratch.allocate("attention parts", {sizes_.B, segments_.count}, DType::i64);
    part_begins_ = begins.data<std::int64_t>();
    std::int64_t most = 0;
    for (std::int64_t b = 0; b < sizes_.B; ++b) {
      std::int64_t places = 0;
      for (std::int64_t s = 0; s < segments_.count; ++s) {
        const Range tiles = reaches.of(b).key_tiles(queries_of(s));
        part_begins_[b * segments_.count + s] = places - tiles.begin;
        places += tiles.size();
      }
      most = std::max(most, places);
    }
    parts_per_head_ = segments_.count == 1 ? 0 : most;
    parts_ =
        scratch.allocate("attention parts", {sizes_.B, sizes_.K, parts_per_head_, 2, part_floats_})
            .data<float>();
  }
  float* part(std::int64_t b, std::int64_t head, std::int64_t s, std::int64_t tile) const {
    const std::int64_t place = part_begins_[b * segments_.count + s] + tile;
    return parts_ + ((b * sizes_.K + head) * parts_per_head_ + place) * 2 * part_floats_;
  }

  void segment(const Task& task, Reach reach, const Work& w) {
    const Range queries = queries_of(task.segment);
    const Range tiles = reach.key_tiles(queries);
    if (task.segment == 0) clear_unread_keys(task, reach);
    const Ring ring = ring_for(reach, queries);
    fetch_first(task, reach, queries, {&pass_.k, &pass_.v}, {&pass_.q, &pass_.do_, &pass_.o});
    // Tiles of rows begun and finished; keys come in order, so rows begin and end in order too.
    std::int64_t begun = 0, finished = 0;
    for (std::int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
      const Range seeing = reach.row_tiles(tile, queries);
      while (finished < seeing.begin) finish_rows(task, w, ring, finished++);
      const std::int64_t first_new = begun;
      while (begun < seeing.end) begin_rows(task, w, ring, begun++);
      Work to = w;
      const bool alone = readers(reach, tile).size() == 1;
      if (!alone) {
        to.dk = part(task.b, task.head, task.segment, tile);
        to.dv = to.dk + part_floats_;
      }
      key_tile(task, reach, to, ring, tile, first_new, alone);
      if (alone) {
        store_rows(pass_.dk, task.b, task.head, reach.keys_of(tile), w.dk);
        store_rows(pass_.dv, task.b, task.head, reach.keys_of(tile), w.dv);
      }
    }
    while (finished < begun) finish_rows(task, w, ring, finished++);
    // What is left of the segment reads no key.
    const Range rest{std::min(queries.begin + begun * kTileRows, queries.end), queries.end};
    const std::int64_t n = task.head * sizes_.group;
    clear_rows(pass_.dq.slice(0, task.b, task.b + 1)
                   .slice(1, rest.begin, rest.end)
                   .slice(2, n, n + sizes_.group));
  }

  // Tiles with an unread key among read ones are cleared where they are computed.
  void clear_unread_keys(const Task& task, Reach reach) const {
    const Range read = reach.key_tiles({0, sizes_.Tq});
    for (const Range rows : {Range{0, read.begin * kTileKeys},
                             Range{std::min(read.end * kTileKeys, sizes_.Tk), sizes_.Tk}}) {
      for (const View& x : {pass_.dk, pass_.dv}) {
        clear_rows(x.slice(0, task.b, task.b + 1)
                       .slice(1, rows.begin, rows.end)
                       .slice(2, task.head, task.head + 1));
      }
    }
  }

  Range queries_of_tile(const Task& task, std::int64_t m) const {
    return rows_of_tile(m, queries_of(task.segment));
  }

  // lse in log2 units, delta, copies of q and do.
  void begin_rows(const Task& task, const Work& w, const Ring& ring, std::int64_t m) {
    const Range rows = queries_of_tile(task, m);
    const auto count = static_cast<int>(rows.size());
    const ConstView& lse = pass_.lse;
    for (std::int64_t g = 0; g < sizes_.group; ++g) {
      const std::int64_t n = task.head * sizes_.group + g, at = ring.row(m, g);
      const float* from = lse.data<float>() + task.b * lse.stride(0) + n * lse.stride(1);
      for (std::int64_t r = 0; r < count; ++r) {
        w.lse[at + r] = static_cast<float>(from[rows.begin + r] * std::numbers::log2e);
      }
      const Rows q = rows_of(pass_.q, task.b, n).from(rows.begin);
      Rows do_ = rows_of(pass_.do_, task.b, n).from(rows.begin);
      if (kernels_.left == nullptr) {
        do_ = gather_rows(do_, count, sizes_, w.do_ + at * sizes_.padded);
        gather_rows(q, count, sizes_, w.q + at * sizes_.padded);
      } else {
        put_pairs(w.do_ + at * sizes_.padded, do_, count);
        put_pairs(w.q + at * sizes_.padded, q, count);
      }
      kernels_.dots(w.delta + at, do_, rows_of(pass_.o, task.b, n).from(rows.begin), count,
                    static_cast<int>(sizes_.H));
    }
  }

  // A tile of rows as a left operand and, behind it, as a right one: no more than its floats take.
  std::int64_t pairs_of_tile() const { return kTileRows * sizes_.padded / 2; }
  void put_pairs(float* to, Rows rows, int count) const {
    kernels_.left(to, rows, count, static_cast<int>(sizes_.H));
    right_operand(kernels_, rows, count, sizes_, to + pairs_of_tile());
  }

  void finish_rows(const Task& task, const Work& w, const Ring& ring, std::int64_t m) {
    for (std::int64_t g = 0; g < sizes_.group; ++g) {
      store_rows(pass_.dq, task.b, task.head * sizes_.group + g, queries_of_tile(task, m),
                 w.dq + ring.row(m, g) * sizes_.padded);
    }
  }

  // What the next tile of keys will read, and where this one's results will go.
  Ahead ahead_of(const Task& task, Reach reach, std::int64_t tile, Range seeing, bool alone) const {
    const Range keys = reach.keys_of(tile), queries = queries_of(task.segment);
    const Range next = intersection(reach.keys_of(tile + 1), {0, reach.positions(queries).end});
    const Range coming = rows_of_tile(seeing.end, queries);
    const Range going = rows_of_tile(seeing.begin, queries);
    const std::int64_t head = task.head, first_head = head * sizes_.group;
    const std::int64_t H = sizes_.H, group_H = sizes_.H * sizes_.group;
    Ahead ahead(seeing.size() * sizes_.group, kCallsPerTile);
    for (const ConstView* x : {&pass_.k, &pass_.v}) {
      ahead.add(rows_of(*x, task.b, head).from(next.begin), next.size(), H);
    }
    if (alone) {
      ahead.add(output_of(pass_.dk, task.b, head, keys.begin), keys.size(), H);
      ahead.add(output_of(pass_.dv, task.b, head, keys.begin), keys.size(), H);
    }
    for (const ConstView* x : {&pass_.q, &pass_.do_, &pass_.o}) {
      ahead.add(rows_of(*x, task.b, first_head).from(coming.begin), coming.size(), group_H);
    }
    ahead.add(output_of(pass_.dq, task.b, first_head, going.begin), going.size(), group_H);
    return ahead;
  }

  // Tiles of rows from `first_new` on have met no keys before.
  void key_tile(const Task& task, Reach reach, const Work& w, const Ring& ring,
                std::int64_t tile_index, std::int64_t first_new, bool alone) {
    const Range keys = reach.keys_of(tile_index);
    const auto count = static_cast<int>(keys.size()), head = static_cast<int>(sizes_.H);
    const Rows k = rows_of(pass_.k, task.b, task.head).from(keys.begin);
    const float* right = right_operand(kernels_, k, count, sizes_, w.keys);
    const Rows v = rows_of(pass_.v, task.b, task.head).from(keys.begin);
    // The copy, if it is one, is nearer.
    const Rows near_k = kernels_.right == nullptr ? Rows{right, sizes_.padded} : k;
    kernels_.transpose(w.keys_t, near_k, count, head,
                       kernels_.left == nullptr ? score_scale() : 1.0f);
    kernels_.transpose(w.values_t, v, count, head, 1.0f);
    const Range seeing = reach.row_tiles(tile_index, queries_of(task.segment));
    Ahead ahead = ahead_of(task, reach, tile_index, seeing, alone);
    RowEdges memory;
    BackwardTile tile = tile_of(w, count);
    tile.ahead = &ahead;
    tile.k = right;
    for (std::int64_t m = seeing.begin; m < seeing.end; ++m) {
      const Range tile_queries = queries_of_tile(task, m);
      tile.edges = &edges_of(reach, tile_queries, keys, memory);
      for (std::int64_t g = 0; g < sizes_.group; ++g) {
        set_rows(tile, w, ring.row(m, g), static_cast<int>(tile_queries.size()));
        tile.first_keys = m >= first_new;
        tile.first_rows = m == seeing.begin && g == 0;
        kernels_.backward(tile);
      }
    }
  }

  BackwardTile tile_of(const Work& w, int keys) const {
    BackwardTile tile{};
    tile.keys = keys;
    tile.head = static_cast<int>(sizes_.H);
    tile.padded = static_cast<int>(sizes_.padded);
    tile.scale = pass_.rule.scale;
    tile.score_scale = score_scale();
    tile.rounded = w.rounded;
    tile.keys_t = w.keys_t;
    tile.values_t = w.values_t;
    tile.weights = w.weights;
    tile.dscores = w.dscores;
    tile.dk = w.dk;
    tile.dv = w.dv;
    return tile;
  }

  void set_rows(BackwardTile& tile, const Work& w, std::int64_t at, int rows) const {
    tile.rows = rows;
    const float *q = w.q + at * sizes_.padded, *do_ = w.do_ + at * sizes_.padded;
    const bool pairs = kernels_.left != nullptr;
    const std::int64_t stride = pairs ? sizes_.half_head() : sizes_.padded;
    tile.q = {q, stride};
    tile.do_ = {do_, stride};
    tile.q_right = pairs ? q + pairs_of_tile() : q;
    tile.do_right = pairs ? do_ + pairs_of_tile() : do_;
    tile.lse = w.lse + at;
    tile.delta = w.delta + at;
    tile.dq = w.dq + at * sizes_.padded;
  }

  void add_parts(std::int64_t b, std::int64_t head, std::int64_t tile, Reach reach, const Work& w) {
    const Range from = readers(reach, tile);
    if (from.size() <= 1) return;
    const std::int64_t used = reach.keys_of(tile).size() * sizes_.padded;
    for (const std::int64_t behind : {std::int64_t{0}, part_floats_}) {
      std::memcpy(w.dk, part(b, head, from.begin, tile) + behind,
                  static_cast<std::size_t>(used) * sizeof(float));
      for (std::int64_t s = from.begin + 1; s < from.end; ++s) {
        const float* more = part(b, head, s, tile) + behind;
        for (std::int64_t i = 0; i < used; ++i) w.dk[i] += more[i];
      }
      store_rows(behind == 0 ? pass_.dk : pass_.dv, b, head, reach.keys_of(tile), w.dk);
    }
  }

  // from(rows, padded) to (b, rows, head, :) of x.
  void store_rows(const View& x, std::int64_t b, std::int64_t head, Range rows,
                  const float* from) const {
    kernels_.put(output_of(x, b, head, rows.begin), from, static_cast<int>(rows.size()),
                 static_cast<int>(sizes_.H), static_cast<int>(sizes_.padded));
  }

  const BackwardPass& pass_;
  const TileKernels& kernels_;
  Sizes sizes_;
  Segments segments_;
  std::int64_t part_floats_;
  std::int64_t parts_per_head_ = 0;
  std::int64_t* part_begins_ = nullptr;
  float* parts_ = nullptr;
};

}  // namespace

void run_backward(const Exec& ex, const BackwardPass& pass, const TileKernels& kernels) {
  Backward(pass, kernels).run(ex);
}

}  // namespace mixspan::attention
