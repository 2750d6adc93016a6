#include "experiments/run/device_choice.h"

#include "core/error.h"
#include "kernels/cuda/attention_choice.h"
#include "parallel/nccl.h"

namespace mixspan {

namespace {

constexpr Device kFirstGpu{DeviceKind::cuda, 0};

}  // namespace

Device chosen_device(std::string_view wish, std::string_view key) {
  if (wish == "cpu") return {};
  const std::string why = why_not(kFirstGpu);
  if (wish == "auto") return why.empty() ? kFirstGpu : Device{};
  require(wish == "cuda", "{} = \"{}\": wanted auto, cpu or cuda", key, wish);
  require(why.empty(), "{} = \"cuda\": {}; wanted \"cpu\" or \"auto\"", key, why);
  return kFirstGpu;
}

Device device_of_rank(const RunConfig& c, Communicator& world) {
  if (world.size() == 1) return chosen_device(c.device, "device");
  if (c.device != "cuda") return {};
  Device device = chosen_device(c.device, "device");
  device.index = host_ranks(world).mine % device_count();
  require_device(device);
  return device;
}

int ranks_that_share(Device device, Communicator& world) {
  return host_ranks(world, device.is_cuda() ? describe(device).uuid : "").count;
}

std::string passed_over(std::string_view wish) {
  if (wish != "auto" || device_count() == 0) return "";
  return why_not(kFirstGpu);
}

DeviceMessagesChoice choose_device_messages(Device device, Communicator& world) {
  if (world.one_process()) return {DeviceTransport::automatic, "from device to device"};
  const auto on_any_rank = [&](bool here) {
    return world.all_reduce_max({"device messages"}, here ? 1 : 0) > 0;
  };
  const std::string missing = why_no_nccl();
  if (on_any_rank(ranks_that_share(device, world) > 1)) {
    return {DeviceTransport::through_host, "through the host, as ranks share devices"};
  }
  if (on_any_rank(!missing.empty())) {
    return {
        DeviceTransport::through_host,
        "through the host, as a rank has " + (missing.empty() ? std::string("no NCCL") : missing)};
  }
  return {DeviceTransport::nccl, "by NCCL"};
}

AttentionKernel attention_kernel_of(const RunConfig& c) {
  for (const AttentionKernel kernel : {AttentionKernel::automatic, AttentionKernel::naive,
                                       AttentionKernel::mma, AttentionKernel::wgmma}) {
    if (c.kernels.attention == cuda::name_of(kernel)) return kernel;
  }
  refuse("kernels.attention = \"{}\": wanted auto, naive, mma or wgmma", c.kernels.attention);
}

AttentionBackward attention_backward_of(const RunConfig& c) {
  using enum AttentionBackward;
  for (const AttentionBackward way : {automatic, split, fused}) {
    if (c.kernels.attention_backward == cuda::name_of(way)) return way;
  }
  refuse("kernels.attention_backward = \"{}\": wanted auto, split or fused",
         c.kernels.attention_backward);
}

cuda::LibraryOptions library_options(const RunConfig& c, const std::filesystem::path& run_dir) {
  cuda::LibraryOptions options;
  options.algorithms = run_dir / "algorithms.txt";
  options.tune = c.kernels.tune_products;
  options.fuse_gelu = c.kernels.fuse_gelu;
  options.fuse_bias_gradient = c.kernels.fuse_bias_gradient;
  return options;
}

void require_kernels(const RunConfig& c, Device device) {
  if (!device.is_cuda()) return;
  const DeviceInfo info = describe(device);
  const AttentionKernel kernel = cuda::chosen_attention(
      attention_kernel_of(c), {c.step_shape().place.activations, c.model.head_size(), info.major,
                               info.minor, info.shared_bytes_per_block});
  cuda::require_backward(attention_backward_of(c), kernel);
}

std::string describe_device(Device device) {
  if (!device.is_cuda()) return "cpu";
  const DeviceInfo info = describe(device);
  return fmt::format("{}: {}, compute capability {}.{}, {:.1f} GiB", device.str(), info.name,
                     info.major, info.minor, static_cast<double>(info.memory_bytes) / (1 << 30));
}

}  // namespace mixspan
