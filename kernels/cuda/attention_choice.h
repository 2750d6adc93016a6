// Which attention kernel runs on a device. The faster kernels work for some element types and head
// sizes only; a person may wish for one (kernels.attention), mostly to compare them.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::cuda {

constexpr std::string_view name_of(AttentionKernel kernel) {
  switch (kernel) {
    case AttentionKernel::automatic:
      return "auto";
    case AttentionKernel::naive:
      return "naive";
    case AttentionKernel::mma:
      return "mma";
    case AttentionKernel::wgmma:
      return "wgmma";
  }
  return "?";
}

constexpr std::string_view name_of(AttentionBackward way) {
  switch (way) {
    case AttentionBackward::automatic:
      return "auto";
    case AttentionBackward::split:
      return "split";
    case AttentionBackward::fused:
      return "fused";
  }
  return "?";
}

/// What a kernel would have to do, and on what.
struct AttentionNeeds {
  DType dtype;
  std::int64_t head_size;
  int major = 0, minor = 0;      ///< the device's compute capability
  std::size_t shared_bytes = 0;  ///< that a block of the device may ask for at most
  bool aligned = true;           ///< all rows begin at multiples of 16 bytes
  float scale = 1.0f;            ///< of the scores
};

/// What attention_mma has kernels for: a head size, and the shared memory of the largest of their
/// blocks, to which the kernels hold themselves.
struct MmaHeads {
  std::int64_t size;
  std::size_t shared_bytes;
};
inline constexpr std::array<MmaHeads, 4> kMmaHeads = {
    {{32, 35 << 10}, {64, 67 << 10}, {96, 99 << 10}, {128, 131 << 10}}};

constexpr std::size_t mma_shared_bytes(std::int64_t head_size) {
  for (const MmaHeads& heads : kMmaHeads) {
    if (heads.size == head_size) return heads.shared_bytes;
  }
  return 0;
}

/// Whether the rows of x (.., H), which may be strided, begin at multiples of 16 bytes.
inline bool rows_are_aligned(const ConstView& x) {
  const auto element = static_cast<std::int64_t>(size_of(x.dtype()));
  bool aligned = reinterpret_cast<std::uintptr_t>(x.raw()) % 16 == 0;
  for (int d = 0; d + 1 < x.shape().rank(); ++d) aligned &= x.stride(d) * element % 16 == 0;
  return aligned;
}

/// Why mma cannot do it; empty when it can.
inline std::string why_not_mma(const AttentionNeeds& needs) {
  if (needs.dtype != DType::bf16) {
    return fmt::format("it computes in bf16, and the model in {}", mixspan::name_of(needs.dtype));
  }
  const std::size_t shared_bytes = mma_shared_bytes(needs.head_size);
  if (shared_bytes == 0) {
    return fmt::format("it has heads of 32, 64, 96 and 128 channels, not {}", needs.head_size);
  }
  if (needs.major < 8) {
    return fmt::format("it needs a device of compute capability 8.0, this one has {}.{}",
                       needs.major, needs.minor);
  }
  if (shared_bytes > needs.shared_bytes) {
    return fmt::format(
        "for heads of {} channels it needs {} KiB of shared memory, a block of this device has {}",
        needs.head_size, shared_bytes >> 10, needs.shared_bytes >> 10);
  }
  return needs.aligned ? "" : "its rows must begin at multiples of 16 bytes";
}

/// Why wgmma cannot do it; empty when it can.
inline std::string why_not_wgmma(const AttentionNeeds& needs) {
  if (needs.dtype != DType::bf16) {
    return fmt::format("it computes in bf16, and the model in {}", mixspan::name_of(needs.dtype));
  }
  if (needs.head_size != 64 && needs.head_size != 128) {
    return fmt::format("it has heads of 64 and 128 channels, not {}", needs.head_size);
  }
  if (needs.major != 9 || needs.minor != 0) {
    return fmt::format("it needs a device of compute capability 9.0, this one has {}.{}",
                       needs.major, needs.minor);
  }
  if (!(needs.scale > 0)) return "it needs scores with a scale above 0";
  return needs.aligned ? "" : "its rows must begin at multiples of 16 bytes";
}

inline std::string why_not(AttentionKernel kernel, const AttentionNeeds& needs) {
  if (kernel == AttentionKernel::mma) return why_not_mma(needs);
  if (kernel == AttentionKernel::wgmma) return why_not_wgmma(needs);
  return "";
}

/// The kernel that is wished for, or under `automatic` the fastest that can do it. Throws
/// InputError when the one wished for cannot, and says which would work.
inline AttentionKernel chosen_attention(AttentionKernel wish, const AttentionNeeds& needs) {
  constexpr AttentionKernel fastest_first[] = {AttentionKernel::wgmma, AttentionKernel::mma,
                                               AttentionKernel::naive};
  std::string working = "auto";
  for (const AttentionKernel kernel : fastest_first) {
    if (!why_not(kernel, needs).empty()) continue;
    if (wish == kernel || wish == AttentionKernel::automatic) return kernel;
    working += fmt::format(", {}", name_of(kernel));
  }
  refuse("kernels.attention = \"{}\": {}; here would work: {}", name_of(wish), why_not(wish, needs),
         working);
}

/// Throws InputError where the kernel cannot go backward in the way that is wished for.
inline void require_backward(AttentionBackward wish, AttentionKernel kernel) {
  require(
      wish != AttentionBackward::fused || kernel == AttentionKernel::wgmma,
      "kernels.attention_backward = \"fused\": only the attention kernel wgmma has it, and here "
      "{} is taken; wanted \"auto\" or \"split\"",
      name_of(kernel));
}

}  // namespace mixspan::cuda
