#include "kernels/embedding.h"
#include "kernels/oracle_values.h"

namespace mixspan::oracle {

namespace {

// The table's row for an index, or -1 where the index belongs to another shard.
std::int64_t row_of(const ConstView& indices, std::size_t r, const ConstView& table,
                    VocabShard shard) {
  const std::int64_t held = table.dim(0), i = indices.data<std::int32_t>()[r];
  check(i >= 0 && i < shard.vocab(held), "embedding: index {} of row {} is outside [0, {})", i, r,
        shard.vocab(held));
  return shard.holds(i, held) ? i - shard.begin : -1;
}

}  // namespace

void embedding_forward(View x, ConstView tokens, ConstView positions, ConstView wte, ConstView wpe,
                       VocabShard shard) {
  const auto rows = static_cast<std::size_t>(x.dim(0)), C = static_cast<std::size_t>(x.dim(1));
  std::vector<double> values(rows * C);
  const auto add = [&](const ConstView& table, const ConstView& indices, VocabShard held) {
    if (table.empty()) return;
    const std::vector<double> entries = read_values(table);
    for (std::size_t r = 0; r < rows; ++r) {
      const std::int64_t row = row_of(indices, r, table, held);
      for (std::size_t c = 0; c < C && row >= 0; ++c) {
        values[r * C + c] += entries[static_cast<std::size_t>(row) * C + c];
      }
    }
  };
  add(wte, tokens, shard);
  add(wpe, positions, {});
  write_values(x, values);
}

void embedding_backward(View dwte, View dwpe, ConstView dx, ConstView tokens, ConstView positions,
                        VocabShard shard) {
  const auto rows = static_cast<std::size_t>(dx.dim(0)), C = static_cast<std::size_t>(dx.dim(1));
  const std::vector<double> values = read_values(dx);
  const auto add = [&](View table, const ConstView& indices, VocabShard held) {
    if (table.empty()) return;
    std::vector<double> entries = read_values(table);
    for (std::size_t r = 0; r < rows; ++r) {
      const std::int64_t row = row_of(indices, r, table, held);
      for (std::size_t c = 0; c < C && row >= 0; ++c) {
        entries[static_cast<std::size_t>(row) * C + c] += values[r * C + c];
      }
    }
    write_values(table, entries);
  };
  add(dwte, tokens, shard);
  add(dwpe, positions, {});
}

}  // namespace mixspan::oracle
