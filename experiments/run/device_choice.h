// From what a person asked for to the device that computes.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "core/device.h"
#include "experiments/run/run_config.h"
#include "kernels/cuda/libraries.h"

namespace mixspan {

/// `wish`: "auto", "cpu" or "cuda". auto: CUDA where there is a device that this build has code
/// for, else the CPU. Throws InputError that begins with `key` where the wish cannot be honoured.
Device chosen_device(std::string_view wish, std::string_view key);

/// What Exec::attention is to be.
AttentionKernel attention_kernel_of(const RunConfig& config);

/// How the run in `run_dir` multiplies matrices on a device: with the algorithms that its folder
/// names, which it adds to.
cuda::LibraryOptions library_options(const RunConfig& config, const std::filesystem::path& run_dir);

/// Refuses (InputError) a kernel that the config names and the device has not for such a model.
void require_kernels(const RunConfig& config, Device device);

/// One line about a device for a person: "cpu", or its name and memory.
std::string describe_device(Device device);

}  // namespace mixspan
