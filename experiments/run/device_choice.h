// From what a person asked for to the device that computes.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "core/device.h"
#include "experiments/run/host_ranks.h"
#include "experiments/run/run_config.h"
#include "kernels/cuda/libraries.h"

namespace mixspan {

/// `wish`: "auto", "cpu" or "cuda". auto: CUDA where there is a device that this build has code
/// for, else the CPU. Throws InputError that begins with `key` where the wish cannot be honoured.
Device chosen_device(std::string_view wish, std::string_view key);

/// Of this rank. Alone: chosen_device() of config.device. Of several ranks only device = "cuda"
/// puts them on devices, which the ranks of a host take in turn, so that they share one where they
/// are more; "auto" is the CPU, and no rank looks for a device. A collective call. Throws
/// InputError on a rank that finds none.
Device device_of_rank(const RunConfig& config, Communicator& world);

/// How many ranks of this host use the same device, or the CPU, as this one does. Known by the
/// device's own name, because a job may show each rank a single device, which all then call the
/// first. A collective call.
int ranks_that_share(Device device, Communicator& world);

/// Why "auto" passes over a GPU that is there; empty where it does not, and for other wishes.
std::string passed_over(std::string_view wish);

/// How messages between the ranks' devices travel, and why, for a person.
struct DeviceMessagesChoice {
  DeviceTransport transport = DeviceTransport::automatic;
  std::string text;
};
/// The same on all ranks, each of which is on `device`. Between processes NCCL, where every rank
/// has it and a device of its own, which NCCL wants; else through the host. A collective call.
DeviceMessagesChoice choose_device_messages(Device device, Communicator& world);

/// What Exec::attention is to be.
AttentionKernel attention_kernel_of(const RunConfig& config);
AttentionBackward attention_backward_of(const RunConfig& config);

/// How the run in `run_dir` multiplies matrices on a device: with the algorithms that its folder
/// names, which it adds to.
cuda::LibraryOptions library_options(const RunConfig& config, const std::filesystem::path& run_dir);

/// Refuses (InputError) a kernel that the config names and the device has not for such a model.
void require_kernels(const RunConfig& config, Device device);

/// One line about a device for a person: "cpu", or its name and memory.
std::string describe_device(Device device);

}  // namespace mixspan
