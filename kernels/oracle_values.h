// How the oracles read and write views: as plain arrays of doubles, whatever the view holds.
#pragma once

#include <span>
#include <vector>

#include "core/tensor.h"

namespace mixspan::oracle {

/// Every element of an f32 or f64 view (rank 0 to 2; rows may be strided), in row-major order.
std::vector<double> read_values(const ConstView& view);
/// Rounds `values` to the view's dtype. Their number must be the view's size.
void write_values(const View& view, std::span<const double> values);

}  // namespace mixspan::oracle
