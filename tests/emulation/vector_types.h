// CUDA's small vector types and the coordinates of a thread, for the emulated build.
#pragma once

#define MIXSPAN_VECTOR(type, name)                                                      \
  struct name##1 {                                                                      \
    type x;                                                                             \
  };                                                                                    \
  struct alignas(2 * sizeof(type)) name##2 {                                            \
    type x, y;                                                                          \
  };                                                                                    \
  struct name##3 {                                                                      \
    type x, y, z;                                                                       \
  };                                                                                    \
  struct alignas(4 * sizeof(type) < 16 ? 4 * sizeof(type) : 16) name##4 {               \
    type x, y, z, w;                                                                    \
  };                                                                                    \
  inline constexpr name##2 make_##name##2(type x, type y) { return {x, y}; }            \
  inline constexpr name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; } \
  inline constexpr name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }

MIXSPAN_VECTOR(float, float)
MIXSPAN_VECTOR(double, double)
MIXSPAN_VECTOR(int, int)
MIXSPAN_VECTOR(unsigned, uint)
MIXSPAN_VECTOR(short, short)
MIXSPAN_VECTOR(unsigned short, ushort)
MIXSPAN_VECTOR(signed char, char)
MIXSPAN_VECTOR(unsigned char, uchar)
MIXSPAN_VECTOR(long long, longlong)
MIXSPAN_VECTOR(unsigned long long, ulonglong)
#undef MIXSPAN_VECTOR

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

// Of the emulated thread that runs at the moment; set whenever one goes on.
inline thread_local uint3 threadIdx{0, 0, 0};
inline thread_local uint3 blockIdx{0, 0, 0};
inline thread_local dim3 blockDim;
inline thread_local dim3 gridDim;
inline constexpr int warpSize = 32;
