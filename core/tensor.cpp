#include "core/tensor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace mixspan {

Shape::Shape(std::initializer_list<std::int64_t> dims)
    : Shape(std::span<const std::int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const std::int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  check(rank_ <= kMaxRank, "a shape of {} dims was asked for; at most {} are supported", rank_,
        int{kMaxRank});
  for (std::size_t d = 0; d < dims.size(); ++d) {
    check(dims[d] >= 0, "dim {} of a shape is {}; wanted 0 or more", d, dims[d]);
    dims_[d] = dims[d];
  }
}

std::int64_t Shape::size() const {
  std::int64_t n = 1;
  for (std::int64_t d : dims()) n *= d;
  return n;
}

std::string Shape::str() const {
  std::string s = "(";
  for (int d = 0; d < rank_; ++d) s += (d ? ", " : "") + std::to_string((*this)[d]);
  return s + ")";
}

ConstView::ConstView(const void* data, DType dtype, Shape shape)
    : data_(data), dtype_(dtype), shape_(shape) {
  std::int64_t stride = 1;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    strides_[static_cast<std::size_t>(d)] = stride;
    stride *= shape[d];
  }
}

bool ConstView::is_contiguous() const {
  std::int64_t stride = 1;
  for (int d = shape_.rank() - 1; d >= 0; --d) {
    if (shape_[d] != 1 && strides_[static_cast<std::size_t>(d)] != stride) return false;
    stride *= shape_[d];
  }
  return true;
}

ConstView ConstView::slice(int d, std::int64_t begin, std::int64_t end) const {
  check(d >= 0 && d < shape_.rank() && 0 <= begin && begin <= end && end <= shape_[d],
        "slice [{}, {}) of dim {} does not fit a view of shape {}", begin, end, d, shape_.str());
  ConstView v = *this;
  std::array<std::int64_t, Shape::kMaxRank> dims{};
  for (int i = 0; i < shape_.rank(); ++i) dims[static_cast<std::size_t>(i)] = shape_[i];
  dims[static_cast<std::size_t>(d)] = end - begin;
  v.shape_ =
      Shape(std::span<const std::int64_t>(dims.data(), static_cast<std::size_t>(shape_.rank())));
  v.data_ = static_cast<const std::byte*>(data_) +
            static_cast<std::size_t>(begin * stride(d)) * size_of(dtype_);
  return v;
}

ConstView ConstView::reshape(Shape shape) const {
  check(is_contiguous() && shape.size() == size(),
        "a view of shape {} ({}) cannot be reshaped to {}", shape_.str(),
        is_contiguous() ? "contiguous" : "strided", shape.str());
  return ConstView(data_, dtype_, shape);
}

ConstView ConstView::split(int d, std::int64_t outer, std::int64_t inner) const {
  check(d >= 0 && d < shape_.rank() && outer * inner == shape_[d],
        "dim {} of a view of shape {} cannot be split into {} x {}", d, shape_.str(), outer, inner);
  std::array<std::int64_t, Shape::kMaxRank + 1> dims{};
  std::array<std::int64_t, Shape::kMaxRank + 1> strides{};
  std::size_t n = 0;
  for (int i = 0; i < shape_.rank(); ++i) {
    if (i == d) {
      dims[n] = outer;
      strides[n++] = stride(i) * inner;
    }
    dims[n] = i == d ? inner : shape_[i];
    strides[n++] = stride(i);
  }
  ConstView v = *this;
  v.shape_ = Shape(std::span<const std::int64_t>(dims.data(), n));
  std::copy_n(strides.begin(), Shape::kMaxRank, v.strides_.begin());
  return v;
}

ConstView ConstView::select(int d, std::int64_t index) const {
  check(d >= 0 && d + 1 < shape_.rank(), "dim {} of a view of shape {} cannot be fixed", d,
        shape_.str());
  const ConstView row = slice(d, index, index + 1);
  std::array<std::int64_t, Shape::kMaxRank> dims{};
  std::size_t n = 0;
  ConstView v = row;
  for (int i = 0; i < shape_.rank(); ++i) {
    if (i == d) continue;
    dims[n] = shape_[i];
    v.strides_[n++] = stride(i);
  }
  v.shape_ = Shape(std::span<const std::int64_t>(dims.data(), n));
  return v;
}

namespace {
constexpr std::size_t kAlignment = 64;  // one cache line, one AVX-512 register
}

Tensor::Tensor(Shape shape, DType dtype, Device device)
    : dtype_(dtype), shape_(shape), device_(device) {
  const std::size_t bytes = static_cast<std::size_t>(shape.size()) * size_of(dtype);
  if (device.is_cuda()) {
    on_device_ = DeviceBuffer(device, bytes, "a tensor of shape " + shape.str());
    data_ = on_device_.data();
    // Streams do not wait for the default stream, so the host does.
    use_device(device);
    fill_bytes({}, data_, 0, bytes);
    synchronise(Stream());
    return;
  }
  const std::size_t padded = (bytes + kAlignment) / kAlignment * kAlignment;  // never zero
  host_.reset(std::aligned_alloc(kAlignment, padded));
  if (host_ == nullptr) {
    fail_memory("a tensor of shape {}: {} bytes were wanted, more than the system gives",
                shape.str(), bytes);
  }
  data_ = host_.get();
  std::memset(data_, 0, padded);
}

void Tensor::Free::operator()(void* p) const { std::free(p); }

void check_shape(std::string_view name, const ConstView& view, const Shape& wanted) {
  check(view.shape() == wanted, "{}: wanted shape {}, got {}", name, wanted.str(),
        view.shape().str());
}

void check_dtype(std::string_view name, const ConstView& view, DType wanted) {
  check(view.dtype() == wanted, "{}: wanted dtype {}, got {}", name, name_of(wanted),
        name_of(view.dtype()));
}

void check_contiguous(std::string_view name, const ConstView& view) {
  check(view.is_contiguous(), "{}: wanted a contiguous view, got a strided one of shape {}", name,
        view.shape().str());
}

void fill_zero(View view) {
  check_contiguous("fill_zero", view);
  if (view.size() > 0) std::memset(view.raw(), 0, view.size_bytes());
}

}  // namespace mixspan
