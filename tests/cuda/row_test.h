// What the tests of the memory-bound device kernels share.
#pragma once

#include <functional>
#include <vector>

#include "tests/cuda/device_test.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan::test {

/// The storage types of a model on a device.
inline constexpr DType kModelTypes[] = {DType::f32, DType::bf16};

/// `in_fp32` for results that are stored as f32; bf16 adds its one rounding.
Tolerance stored_as(DType dtype, Tolerance in_fp32);

/// How rows lie in memory: one after the other; apart, at multiples of 16 bytes; at places where no
/// load of 16 bytes is possible.
enum class Lie { together, apart, askew };
inline constexpr Lie kLies[] = {Lie::together, Lie::apart, Lie::askew};

/// Rows on the device with NaN patterns between and around them.
struct PlacedRows {
  Tensor all;
  std::int64_t begin, end;  ///< columns of `all` that are theirs
  View view() { return all.view().slice(1, begin, end); }
};

class RowTest : public DeviceTest {
 protected:
  /// host: (rows, C) of any type. A single row of any Lie is contiguous.
  PlacedRows place(const ConstView& host, Lie lie) const;
  /// The same place, nothing but NaN patterns.
  PlacedRows place_poisoned(Shape rows_and_C, DType dtype, Lie lie) const;
  /// The rows on the host; fails the test where something around them has changed.
  Tensor fetch(const PlacedRows& rows) const;
  /// The first results of run(). Fails the test where a repeat, or another order of the emulated
  /// threads, gives other bits.
  std::vector<Tensor> steady(const std::function<std::vector<Tensor>()>& run) const;
};

/// random_tensor() as a device stores it, and back as f32.
Tensor stored_random(DType dtype, Shape shape, std::uint64_t seed, double scale = 1.0);

}  // namespace mixspan::test
