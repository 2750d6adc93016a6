// What this processor can do.
#pragma once

#include <string_view>

namespace mixspan {

/// Instruction sets that CPU kernels have a path for, in rising order.
enum class Isa { portable, avx2, avx512 };

/// The best path this processor can run (avx2 includes FMA; avx512 is F, BW, DQ and VL).
Isa best_isa();
std::string_view name_of(Isa isa);

/// The model name the processor gives itself, for reports.
std::string_view cpu_name();

/// Makes the calling thread flush denormal results and inputs to zero. They would slow a step many
/// times over, and nothing trained here depends on them.
void flush_denormals();

}  // namespace mixspan
