#include "kernels/argmax.h"

#include <limits>

#include "kernels/chunks.h"
#include "kernels/cuda/argmax.h"

namespace mixspan {

namespace {
// The first of the largest numbers, 0 where there is none.
std::int64_t argmax(const float* x, std::int64_t n) {
  std::int64_t best = 0;
  float largest = -std::numeric_limits<float>::infinity();
  // Backwards, so that ">=" leaves the first of equal ones and finds one of infinities only.
  for (std::int64_t i = n; i-- > 0;) {
    if (x[i] >= largest) {
      largest = x[i];
      best = i;
    }
  }
  return best;
}
}  // namespace

void argmax_rows(const Exec& exec, View index, ConstView x, std::int64_t first) {
  const std::int64_t rows = x.dim(0), V = x.dim(1);
  check_shape("argmax: index", index, {rows});
  check_dtype("argmax: index", index, DType::i32);
  check(V > 0 && first >= 0 && first + V <= std::numeric_limits<std::int32_t>::max(),
        "argmax: columns {} to {}", first, first + V);
  if (exec.device.is_cuda()) return cuda::argmax_rows(exec, index, x, first);
  if (exec.oracle) return oracle::argmax_rows(index, x, first);
  for_each_chunk(exec.threads, rows, rows_per_chunk(V), [&](auto begin, auto end, auto) {
    for (std::int64_t r = begin; r < end; ++r) {
      index.data<std::int32_t>()[r] =
          static_cast<std::int32_t>(first + argmax(x.data<float>() + r * x.stride(0), V));
    }
  });
}

void mark_correct(const Exec& exec, View correct, ConstView likeliest, ConstView parts,
                  ConstView targets) {
  const std::int64_t rows = targets.dim(0), shards = likeliest.dim(0);
  check_shape("mark_correct: correct", correct, {rows});
  check_dtype("mark_correct: correct", correct, DType::u8);
  check_shape("mark_correct: likeliest", likeliest, {shards, rows});
  check_dtype("mark_correct: likeliest", likeliest, DType::i32);
  check_contiguous("mark_correct: likeliest", likeliest);
  check_dtype("mark_correct: targets", targets, DType::i32);
  check(shards == 1 || !parts.empty(), "mark_correct: {} shards without parts", shards);
  if (shards > 1) {
    check_shape("mark_correct: parts", parts, {shards, rows, kCrossEntropyPart});
    check_contiguous("mark_correct: parts", parts);
  }
  if (exec.device.is_cuda()) return cuda::mark_correct(exec, correct, likeliest, parts, targets);
  for_each_chunk(exec.threads, rows, kChunk, [&](auto begin, auto end, auto) {
    for (std::int64_t r = begin; r < end; ++r) {
      const auto largest = [&](std::int64_t s) {
        return parts.data<float>()[(s * rows + r) * kCrossEntropyPart];
      };
      std::int64_t best = 0;
      for (std::int64_t s = 1; s < shards; ++s) {
        if (largest(s) > largest(best)) best = s;
      }
      correct.data<std::uint8_t>()[r] =
          likeliest.data<std::int32_t>()[best * rows + r] == targets.data<std::int32_t>()[r];
    }
  });
}

}  // namespace mixspan
