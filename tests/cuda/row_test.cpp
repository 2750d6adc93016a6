#include "tests/cuda/row_test.h"

#include <cstring>

namespace mixspan::test {

Tolerance stored_as(DType dtype, Tolerance in_fp32) {
  if (dtype == DType::f32) return in_fp32;
  // Of a few numbers all may be off by the most.
  return {in_fp32.l2 + kBf16Rounding.max, in_fp32.max + kBf16Rounding.max};
}

PlacedRows RowTest::place_poisoned(Shape rows_and_C, DType dtype, Lie lie) const {
  const std::int64_t C = rows_and_C[1];
  constexpr std::int64_t kRun = 8;  // 16 or 32 bytes
  const std::int64_t begin = lie == Lie::together ? 0 : lie == Lie::apart ? kRun : 1;
  std::int64_t width = begin + C;
  if (lie == Lie::apart) width = (width + 2 * kRun) / kRun * kRun;
  if (lie == Lie::askew) width += width % 2 == 0 ? 3 : 2;  // odd
  return {poisoned({rows_and_C[0], width}, dtype), begin, begin + C};
}

PlacedRows RowTest::place(const ConstView& host, Lie lie) const {
  PlacedRows rows = place_poisoned(host.shape(), host.dtype(), lie);
  copy(exec(), rows.view(), host);
  return rows;
}

Tensor RowTest::fetch(const PlacedRows& rows) const {
  const Tensor all = download(rows.all);
  const std::size_t width = size_of(all.view().dtype());
  const auto* bytes = static_cast<const std::uint8_t*>(all.view().raw());
  const std::int64_t row_bytes = all.shape()[1] * static_cast<std::int64_t>(width);
  std::int64_t changed = 0;
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(all.view().size_bytes()); ++i) {
    const std::int64_t column = i % row_bytes / static_cast<std::int64_t>(width);
    const bool outside = column < rows.begin || column >= rows.end;
    changed += outside && bytes[i] != 0xff;
  }
  EXPECT_EQ(changed, 0) << "bytes around the rows that are not as they were";
  Tensor inner({all.shape()[0], rows.end - rows.begin}, all.view().dtype());
  for (std::int64_t r = 0; r < inner.shape()[0]; ++r) {
    const std::size_t n = static_cast<std::size_t>(inner.shape()[1]) * width;
    std::memcpy(static_cast<std::byte*>(inner.view().raw()) + static_cast<std::size_t>(r) * n,
                bytes + r * row_bytes + rows.begin * static_cast<std::int64_t>(width), n);
  }
  return inner;
}

std::vector<Tensor> RowTest::steady(const std::function<std::vector<Tensor>()>& run) const {
  std::vector<Tensor> first = run();
  in_every_order([&] {
    for (int repeat = 0; repeat < (emulated() ? 1 : 3); ++repeat) {
      const std::vector<Tensor> again = run();
      for (std::size_t i = 0; i < first.size(); ++i) {
        EXPECT_EQ(bits_differ(again[i], first[i]), "") << "result " << i << ", once more";
      }
    }
  });
  return first;
}

Tensor stored_random(DType dtype, Shape shape, std::uint64_t seed, double scale) {
  return rounded_to(dtype, random_tensor(shape, seed, scale));
}

}  // namespace mixspan::test
