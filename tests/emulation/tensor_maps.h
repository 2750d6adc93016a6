// What an emulated tensor map holds.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mixspan::emulation {

struct MapContents {
  static constexpr std::uint64_t kMagic = 0x7e5507a90b0c5a1d;
  std::uint64_t magic;
  std::byte* data;
  std::uint64_t strides[3];  ///< bytes, of dimensions 1 to 3
  std::uint32_t sizes[4], box[4];
  std::uint32_t rank;
  bool swizzled;
};
static_assert(sizeof(MapContents) <= 128);

/// Fails when it is no map.
MapContents contents_of_map(const void* map);

}  // namespace mixspan::emulation
