// <A x, y> = <x, A^T y>, both summed over the ranks: what makes the backward of a linear map that
// moves or sums numbers between ranks the right one.
#pragma once

#include <functional>
#include <vector>

#include "core/rng.h"
#include "parallel/thread_ranks.h"

namespace mixspan::test {

inline constexpr Call kCall{.what = "adjoint"};

/// Another one for each rank and each `which`, a digit.
inline std::uint64_t seed(const Communicator& comm, int which) {
  return static_cast<std::uint64_t>(10 * comm.rank() + which);
}

/// Integers of -8 .. 8, whose sums and products f32 and f64 hold exactly: the two sides must be
/// equal, not just close.
inline Tensor integers(Shape shape, std::uint64_t seed) {
  Tensor x(shape);
  const RandomStream stream(seed, "integers");
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const std::uint64_t draw = stream.bits(static_cast<std::uint64_t>(i)) % 17;
    x.data<float>()[i] = static_cast<float>(static_cast<int>(draw) - 8);
  }
  return x;
}

/// Of contiguous f32 views.
inline double dot(const ConstView& x, const ConstView& y) {
  check_shape("dot", y, x.shape());
  double sum = 0;
  for (std::int64_t i = 0; i < x.size(); ++i) {
    sum += static_cast<double>(x.data<float>()[i]) * static_cast<double>(y.data<float>()[i]);
  }
  return sum;
}

/// <A x, y> and <x, A^T y>. Of what every rank holds alike only the first one's counts.
struct Products {
  double forward = 0, backward = 0;
};

inline Products sum_over_ranks(int ranks, const std::function<Products(Communicator&)>& body) {
  std::vector<Products> all(static_cast<std::size_t>(ranks));
  run_thread_ranks(ranks, {.timeout_seconds = 60}, [&](std::unique_ptr<Communicator> world) {
    all[static_cast<std::size_t>(world->rank())] = body(*world);
  });
  Products sum;
  for (const Products& p : all) {
    sum.forward += p.forward;
    sum.backward += p.backward;
  }
  return sum;
}

}  // namespace mixspan::test
