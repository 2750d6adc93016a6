#include "kernels/oracle_values.h"

namespace mixspan::oracle {

namespace {
// Calls body(element number, offset from the view's first element).
template <class Body>
void for_each_element(const ConstView& view, Body body) {
  const int rank = view.shape().rank();
  if (rank <= 1 || view.is_contiguous()) {
    for (std::int64_t i = 0; i < view.size(); ++i) body(i, i);
    return;
  }
  check(rank == 2, "an oracle got a strided view of shape {}; wanted contiguous, or rank 2",
        view.shape().str());
  for (std::int64_t r = 0; r < view.dim(0); ++r) {
    for (std::int64_t c = 0; c < view.dim(1); ++c) {
      body(r * view.dim(1) + c, r * view.stride(0) + c);
    }
  }
}
}  // namespace

std::vector<double> read_values(const ConstView& view) {
  std::vector<double> values(static_cast<std::size_t>(view.empty() ? 0 : view.size()));
  if (values.empty()) return values;
  dispatch<float, double>("read_values", view.dtype(), [&]<class T>() {
    const T* data = view.data<T>();
    for_each_element(view, [&](std::int64_t i, std::int64_t offset) {
      values[static_cast<std::size_t>(i)] = data[offset];
    });
  });
  return values;
}

void write_values(const View& view, std::span<const double> values) {
  check(static_cast<std::int64_t>(values.size()) == view.size(), "{} values for a view of shape {}",
        values.size(), view.shape().str());
  dispatch<float, double>("write_values", view.dtype(), [&]<class T>() {
    T* data = view.data<T>();
    for_each_element(view, [&](std::int64_t i, std::int64_t offset) {
      data[offset] = static_cast<T>(values[static_cast<std::size_t>(i)]);
    });
  });
}

}  // namespace mixspan::oracle
