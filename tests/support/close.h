// How close is close enough: the one table of tolerances, and the comparisons that use it.
#pragma once

#include <string>

#include "core/tensor.h"

namespace mixspan::test {

/// Bounds by class of operation for fp32 results against an fp64 oracle. `l2` bounds
/// |got - want| / |want| over the whole tensor; `max` bounds max|got - want| / max|want|, which a
/// small wrong region cannot hide from.
struct Tolerance {
  double l2, max;
};
/// One multiply-add per output: a few roundings of 6e-8.
inline constexpr Tolerance kElementwise{5e-7, 2e-6};
/// Sums of up to some thousand terms in fp32: rounding grows with the square root of the length.
inline constexpr Tolerance kReduction{2e-6, 1e-5};
/// Attention forward: two matrix products around a softmax (exp accurate to 2e-7).
inline constexpr Tolerance kAttentionForward{2e-6, 1e-5};
/// Attention backward: five products, and dS = P(dP - D) cancels.
inline constexpr Tolerance kAttentionBackward{1e-5, 5e-5};
/// Products of bf16 operands: each of them is off by up to 2^-8 of itself.
inline constexpr Tolerance kBf16{1e-2, 5e-2};
/// One rounding to bf16: at most 2^-8 of each number.
inline constexpr Tolerance kBf16Rounding{3e-3, 4e-3};
/// A whole model against another implementation in fp32 (the issue's own bound: 1e-5).
inline constexpr Tolerance kModel{1e-5, 1e-4};
/// An oracle's gradient in fp64 against central differences in fp64 (step 1e-5).
inline constexpr Tolerance kFiniteDifference{1e-6, 1e-5};

/// Absolute, for the log of a sum of exponentials of scores of a size of some units.
inline constexpr double kLseOfF32 = 1e-5, kLseOfBf16 = 1e-3;

struct Distance {
  double l2 = 0;   ///< relative L2
  double max = 0;  ///< max |got - want| / max |want|
  bool finite = true;
  std::string worst;  ///< where the largest difference is, for the failure message
};
/// Both views may be f32 or f64 and strided; shapes must be equal.
Distance distance(const ConstView& got, const ConstView& want);

/// Empty when got is within the tolerance of want, else what is wrong. Use with EXPECT_EQ(x, "").
std::string differs(const ConstView& got, const ConstView& want, Tolerance tolerance);
/// For results in low precision: empty when got is within the tolerance of want and its largest
/// error at most twice that of `plain`, a straightforward computation which rounds at the same
/// places, and one rounding of the largest number in fp32. Where `want` is all zeros by
/// cancellation no relative distance says anything, so the tolerance is left out.
std::string worse_than_twice(const ConstView& got, const ConstView& plain, const ConstView& want,
                             Tolerance tolerance);
/// For outputs (B, T, heads, H) that were rounded to bf16: empty when, in every 16 rows of every
/// head, the largest error is at most twice that of `baseline`, the plain computation in the same
/// types, and two roundings to bf16 more; and the relative L2 error is 1e-2 or twice the
/// baseline's. A small wrong region can hide from neither.
std::string worse_than_baseline(const ConstView& got, const ConstView& baseline,
                                const ConstView& want);
/// Empty when both hold the same bits, else the first difference.
std::string bits_differ(const ConstView& got, const ConstView& want);

}  // namespace mixspan::test
