// What this processor can do.
#pragma once

#include <cstdint>
#include <string_view>

namespace mixspan {

/// Instruction sets that CPU kernels have a path for, in rising order.
enum class Isa { portable, avx2, avx512 };

/// The best path this processor can run (avx2 includes FMA; avx512 is F, BW, DQ and VL).
Isa best_isa();
std::string_view name_of(Isa isa);

/// Whether the processor also multiplies bf16 numbers (AVX512-BF16).
bool has_avx512_bf16();

/// The model name the processor gives itself, for reports.
std::string_view cpu_name();

/// The most memory that this process held so far, resident; 0 where the system does not tell. Not
/// what getrusage() says, which begins with what the program that started this one held.
std::int64_t peak_resident_bytes();

/// Makes the calling thread flush denormal results and inputs to zero. They would slow a step many
/// times over, and nothing trained here depends on them.
void flush_denormals();

}  // namespace mixspan
