// Vectors of L floats in GCC's vector extension. Everything here has internal linkage on purpose:
// this header is compiled under different instruction sets, and one shared inline function would
// let the linker hand AVX-512 code to a processor without it. For the same reason it includes
// nothing that defines inline functions.
#pragma once

#include <cstdint>

namespace mixspan::simd {
namespace {

/// F: L floats, I: L unsigned whole numbers (they wrap), D: L / 2 doubles, H: L / 2 floats. (A
/// vector type that depends on a template parameter cannot be subscripted, so each width is spelled
/// out.)
template <int L>
struct Lanes;
template <>
struct Lanes<4> {
  typedef float F __attribute__((vector_size(16)));
  typedef std::uint32_t I __attribute__((vector_size(16)));
  typedef double D __attribute__((vector_size(16)));
  typedef float H __attribute__((vector_size(8)));
};
template <>
struct Lanes<8> {
  typedef float F __attribute__((vector_size(32)));
  typedef std::uint32_t I __attribute__((vector_size(32)));
  typedef double D __attribute__((vector_size(32)));
  typedef float H __attribute__((vector_size(16)));
};
template <>
struct Lanes<16> {
  typedef float F __attribute__((vector_size(64)));
  typedef std::uint32_t I __attribute__((vector_size(64)));
  typedef double D __attribute__((vector_size(64)));
  typedef float H __attribute__((vector_size(32)));
};

template <int L>
struct Vec {
  using F = typename Lanes<L>::F;
  using I = typename Lanes<L>::I;

  static F all(float x) { return F{} + x; }
  static F load(const float* p) {
    F v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
  }
  static void store(float* p, F v) { __builtin_memcpy(p, &v, sizeof(v)); }
  /// The first n < L lanes; the others are `rest`.
  static F load_part(const float* p, std::int64_t n, float rest) {
    F v = all(rest);
    for (std::int64_t i = 0; i < n; ++i) v[i] = p[i];
    return v;
  }
  static void store_part(float* p, F v, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) p[i] = v[i];
  }
  static float sum(F v) {
    for (int half = L / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) v[i] += v[i + half];
    }
    return v[0];
  }
  static F sqrt(F v) {
    F r;
    for (int i = 0; i < L; ++i) r[i] = __builtin_sqrtf(v[i]);
    return r;
  }
  /// a0 b0 a1 b1 ..: of the first halves, and of the last ones.
  static F first_in_turn(F a, F b) { return in_turn(a, b, 0); }
  static F last_in_turn(F a, F b) { return in_turn(a, b, L / 2); }
  static F max(F a, F b) { return a > b ? a : b; }  // b where a is a NaN

  /// exp(x) within 2e-7 relative for x in [-87.3, 88]; 0 below; exp(88) above; NaN for NaN.
  /// x = n ln 2 + r, exp(r) by a polynomial of degree 6 on [-ln 2 / 2, ln 2 / 2] (Cephes' expf).
  static F exp(F x) {
    constexpr float kLog2E = 1.44269504088896341f;
    constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves a whole number
    const F clipped = x > 88.0f ? all(88.0f) : x;
    const F shifted = clipped * kLog2E + kRound;
    const F n = shifted - kRound;
    const F r = (clipped - n * kLn2High) - n * kLn2Low;
    F p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    I power;  // 2^n
    __builtin_memcpy(&power, &shifted, sizeof(power));
    power = (power << 23) + (127u << 23);  // the whole number lies in shifted's low bits
    F two_to_n;
    __builtin_memcpy(&two_to_n, &power, sizeof(two_to_n));
    return x < -87.3f ? F{} : p * two_to_n;
  }

 private:
  static F in_turn(F a, F b, std::uint32_t from) {
    I lanes;
    for (std::uint32_t i = 0; i < L; ++i) lanes[i] = from + i / 2 + (i % 2) * L;
    return __builtin_shuffle(a, b, lanes);
  }
};

}  // namespace
}  // namespace mixspan::simd
