// The element types a tensor can have, and the one place where a runtime type becomes a template.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "core/error.h"

namespace mixspan {

/// bfloat16 as storage: the upper half of an IEEE fp32. Arithmetic is done in fp32. constexpr, so
/// that device code may use it too.
struct bf16 {
  std::uint16_t bits = 0;

  bf16() = default;
  /// Rounds to nearest even; a NaN stays a NaN.
  constexpr explicit bf16(float x) {
    const auto u = std::bit_cast<std::uint32_t>(x);
    const bool is_nan = (u & 0x7fffffffu) > 0x7f800000u;
    bits = static_cast<std::uint16_t>(is_nan ? (u >> 16) | 0x40u
                                             : (u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  constexpr explicit operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
};

enum class DType : std::uint8_t { f32, bf16, f64, i64, i32, u16, u8 };

constexpr std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
    case DType::u16:
      return 2;
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::u8:
      return 1;
  }
  return 0;
}

constexpr std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::bf16:
      return "bf16";
    case DType::f64:
      return "f64";
    case DType::i64:
      return "i64";
    case DType::i32:
      return "i32";
    case DType::u16:
      return "u16";
    case DType::u8:
      return "u8";
  }
  return "?";
}

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) {
    return DType::f32;
  } else if constexpr (std::is_same_v<T, bf16>) {
    return DType::bf16;
  } else if constexpr (std::is_same_v<T, double>) {
    return DType::f64;
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    return DType::i64;
  } else if constexpr (std::is_same_v<T, std::int32_t>) {
    return DType::i32;
  } else if constexpr (std::is_same_v<T, std::uint16_t>) {
    return DType::u16;
  } else {
    static_assert(std::is_same_v<T, std::uint8_t>, "no DType for this type");
    return DType::u8;
  }
}

/// Calls body.template operator()<T>() with the first T of Types whose DType is `dtype`:
///     dispatch<float, bf16>("gelu", x.dtype(), [&]<class T>() { gelu_loop<T>(x, y); });
/// Adding a storage type to an operation is adding it to that operation's list.
template <class... Types, class Body>
void dispatch(std::string_view operation, DType dtype, Body&& body) {
  const bool found =
      ((dtype == dtype_of<Types>() && (body.template operator()<Types>(), true)) || ...);
  check(found, "{}: no implementation for dtype {}", operation, name_of(dtype));
}

}  // namespace mixspan
