// How a parameter is divided among the ranks of the tp axis.
#pragma once

#include <cstdint>
#include <functional>

#include "core/tensor.h"

namespace mixspan {

/// Which of how many ranks.
struct TpPart {
  int index = 0, count = 1;
};

/// Dim `dim` is dealt out in order; of a dim that stacks `groups` equal parts (q, k and v) each is
/// dealt out alike.
struct ParamSplit {
  int dim = -1;  ///< 0 or 1; -1: every rank holds all of it
  std::int64_t groups = 1;
};

/// The shape of a rank's part.
Shape part_shape(const Shape& whole, const ParamSplit&, TpPart);

/// Calls run(whole_index, part_index, length) for every run of elements that lies together in both
/// the whole tensor and the part, in the part's order. At most two dims.
void for_each_run(const Shape& whole, const ParamSplit&, TpPart,
                  const std::function<void(std::int64_t, std::int64_t, std::int64_t)>& run);

/// part = its elements of whole; both contiguous f32. Overwrites.
void take_part(View part, ConstView whole, const ParamSplit&, TpPart);
/// The elements of whole that are in the part = part; the others stay.
void put_part(View whole, ConstView part, const ParamSplit&, TpPart);

}  // namespace mixspan
