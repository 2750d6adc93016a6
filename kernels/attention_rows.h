// Rows of operands and results where they lie, and fetching them before they are wanted.
#pragma once

#include <cstdint>

namespace mixspan::attention {

/// Rows of floats, `stride` apart.
struct Rows {
  const float* data = nullptr;
  std::int64_t stride = 0;
  Rows from(std::int64_t row) const { return {data + row * stride, stride}; }
};

/// Rows of a result. `streamed`: they are whole lines of the cache and are written past it. Much
/// else goes through the cache before they are read, and to fetch lines only to overwrite them cost
/// a short span 2 to 7 % of its time.
struct Output {
  float* data = nullptr;
  std::int64_t stride = 0;
  bool streamed = false;
  float* row(std::int64_t r) const { return data + r * stride; }
};

/// Memory that will be wanted soon, fetched a little at a time between products. A short span does
/// so little with each row that waiting for memory would cost it a tenth of its time.
class Ahead {
 public:
  /// `tiles` tiles of about `calls_per_tile` calls of step() will fetch all that is added first.
  Ahead(std::int64_t tiles, std::int64_t calls_per_tile);
  void add(Rows rows, std::int64_t count, std::int64_t floats);
  /// Nothing where they are streamed.
  void add(const Output& rows, std::int64_t count, std::int64_t floats);
  void step();

 private:
  struct Wanted {
    Rows rows;
    std::int64_t count, floats;
  };
  Wanted wanted_[8];
  int wanted_count_ = 0, next_ = 0;
  std::int64_t row_ = 0, rows_ = 0, steps_;
};

}  // namespace mixspan::attention
