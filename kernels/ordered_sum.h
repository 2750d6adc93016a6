// Sums over ranks that have the same bits on every rank and every device: element by element, in
// the order of the ranks.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/dtype.h"

namespace mixspan {

/// What each of several ranks has of the same n elements. That of rank r lies in `own` where r is
/// `own_place`, else in `others`, where those of all ranks but this one follow each other.
struct PiecesOfRanks {
  void* own;
  const void* others;
  int own_place, count;
};

/// own[i] = ((piece 0[i] + piece 1[i]) + piece 2[i]) + ..., in f32, f64, i32, i64, or bf16, which
/// is summed in f32 and rounded once; throws for another dtype. On a CUDA device in the order of
/// `stream`, and the pieces lie there.
void sum_in_order(Device device, Stream stream, DType dtype, const PiecesOfRanks& pieces,
                  std::int64_t n);

/// Throws unless sum_in_order can sum this dtype.
void check_summable(DType dtype);

}  // namespace mixspan
