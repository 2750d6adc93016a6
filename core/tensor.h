// Shapes, views and owning tensors. Views are passed by value and never own memory.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/device.h"
#include "core/dtype.h"

namespace mixspan {

/// Sizes of up to kMaxRank dims, outermost first.
class Shape {
 public:
  static constexpr int kMaxRank = 5;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims);
  explicit Shape(std::span<const std::int64_t> dims);

  int rank() const { return rank_; }
  std::int64_t operator[](int dim) const { return dims_[static_cast<std::size_t>(dim)]; }
  std::int64_t size() const;  ///< number of elements; 1 for rank 0
  std::span<const std::int64_t> dims() const {
    return {dims_.data(), static_cast<std::size_t>(rank_)};
  }
  std::string str() const;  ///< "(2, 3)"
  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  int rank_ = 0;
  std::array<std::int64_t, kMaxRank> dims_{};
};

/// A read-only view: pointer, dtype, shape and element strides. The last dim always has stride 1.
class ConstView {
 public:
  ConstView() = default;
  ConstView(const void* data, DType dtype, Shape shape);  ///< contiguous

  bool empty() const { return data_ == nullptr; }  ///< true for a default-made view
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::int64_t dim(int d) const { return shape_[d]; }
  std::int64_t stride(int d) const { return strides_[static_cast<std::size_t>(d)]; }
  std::int64_t size() const { return shape_.size(); }
  std::size_t size_bytes() const { return static_cast<std::size_t>(size()) * size_of(dtype_); }
  bool is_contiguous() const;

  /// Typed pointer to the first element; throws when T is not this view's dtype.
  template <class T>
  const T* data() const {
    check(dtype_ == dtype_of<T>(), "view of {} read as {}", name_of(dtype_),
          name_of(dtype_of<T>()));
    return static_cast<const T*>(data_);
  }
  const void* raw() const { return data_; }

  /// Elements [begin, end) of dim d.
  ConstView slice(int d, std::int64_t begin, std::int64_t end) const;
  /// The same elements under another shape; throws unless contiguous and of equal size.
  ConstView reshape(Shape shape) const;
  /// Splits dim d into (outer, inner); works on strided views, because no element moves.
  ConstView split(int d, std::int64_t outer, std::int64_t inner) const;
  /// Drops dim d (not the last) by fixing its index.
  ConstView select(int d, std::int64_t index) const;

 protected:
  const void* data_ = nullptr;
  DType dtype_ = DType::f32;
  Shape shape_;
  std::array<std::int64_t, Shape::kMaxRank> strides_{};
};

/// A view whose elements may be written. Converts to ConstView.
class View : public ConstView {
 public:
  View() = default;
  View(void* data, DType dtype, Shape shape) : ConstView(data, dtype, shape) {}

  template <class T>
  T* data() const {
    return const_cast<T*>(ConstView::data<T>());  // made from a non-const pointer, see constructors
  }
  void* raw() const { return const_cast<void*>(data_); }

  View slice(int d, std::int64_t begin, std::int64_t end) const {
    return View(ConstView::slice(d, begin, end));
  }
  View reshape(Shape shape) const { return View(ConstView::reshape(shape)); }
  View split(int d, std::int64_t outer, std::int64_t inner) const {
    return View(ConstView::split(d, outer, inner));
  }
  View select(int d, std::int64_t index) const { return View(ConstView::select(d, index)); }

 private:
  explicit View(const ConstView& v) : ConstView(v) {}
};

/// Owning, contiguous, zeroed when made; 64-byte aligned, on a device 256-byte. Only kernels and
/// copies may touch the elements of a tensor on a device.
class Tensor {
 public:
  Tensor() = default;
  Tensor(Shape shape, DType dtype = DType::f32, Device device = {});

  View view() { return View(data_, dtype_, shape_); }
  ConstView view() const { return ConstView(data_, dtype_, shape_); }
  operator View() { return view(); }             // NOLINT: a tensor is used as its view
  operator ConstView() const { return view(); }  // NOLINT
  const Shape& shape() const { return shape_; }
  Device device() const { return device_; }
  std::int64_t size() const { return shape_.size(); }
  template <class T>
  T* data() {
    return view().data<T>();
  }
  template <class T>
  const T* data() const {
    return view().data<T>();
  }

 private:
  struct Free {
    void operator()(void* p) const;
  };
  std::unique_ptr<void, Free> host_;
  DeviceBuffer on_device_;
  void* data_ = nullptr;  // in one of the two
  DType dtype_ = DType::f32;
  Shape shape_;
  Device device_;
};

/// Throws "NAME: wanted shape (..), got (..)" unless they are equal.
void check_shape(std::string_view name, const ConstView& view, const Shape& wanted);
/// Throws "NAME: wanted dtype .., got .." unless they are equal.
void check_dtype(std::string_view name, const ConstView& view, DType wanted);
/// Throws unless the view's elements lie one after the other.
void check_contiguous(std::string_view name, const ConstView& view);

/// Sets every element to zero. Contiguous, on the host; core/copy.h has the one for devices.
void fill_zero(View view);

}  // namespace mixspan
