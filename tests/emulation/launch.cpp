// Runs the blocks of a grid, and what a kernel asks of the block it is in.
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>

#include "core/error.h"
#include "tests/emulation/block.h"
#include "tests/emulation/blocks_at_once.h"
#include "tests/emulation/cuda_api.h"
#include "tests/emulation/device_heap.h"
#include "tests/emulation/emulation.h"
#include "tests/emulation/profiler_ranges.h"
#include "tests/emulation/sm90.h"
#include "tests/emulation/static_shared.h"

namespace mixspan::emulation {

namespace {

constexpr std::size_t kLargestShared = std::size_t{228} << 10;
constexpr std::size_t kWithoutAsking = std::size_t{48} << 10;
constexpr std::size_t kAlignment = 1024;
constexpr int kMargin = 0xa5;
// Where PTX sees dynamic and static shared memory.
constexpr std::uint32_t kDynamicAddress = 1024, kStaticAddress = 1u << 20;

// Dynamic shared memory between two margins that are looked at after each block, in front of a page
// that cannot be touched.
class SharedMemory {
 public:
  SharedMemory() {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    bytes_ = (kLargestShared + 2 * kAlignment + page - 1) / page * page;
    void* p =
        ::mmap(nullptr, bytes_ + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(p != MAP_FAILED, "no memory for a block's shared memory");
    all_ = static_cast<std::byte*>(p);
    ::mprotect(all_ + bytes_, page, PROT_NONE);
  }
  ~SharedMemory() { ::munmap(all_, bytes_ + static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  void begin_block(std::size_t bytes) {
    std::byte* end = all_ + bytes_;
    std::byte* begin = end - (bytes + kAlignment - 1) / kAlignment * kAlignment;
    std::memset(begin - kAlignment, kMargin, kAlignment);
    std::memset(begin, 0xff, bytes);
    std::memset(begin + bytes, kMargin, static_cast<std::size_t>(end - begin) - bytes);
    block_ = {begin, bytes};
  }
  void end_block() const {
    const std::byte* end = block_.data() + block_.size();
    check_margin(block_.data() - kAlignment, block_.data());
    check_margin(end, all_ + bytes_);
  }
  std::span<std::byte> block() const { return block_; }

 private:
  void check_margin(const std::byte* from, const std::byte* to) const {
    for (; from < to; ++from) {
      check(*from == std::byte{kMargin}, "byte {} of {} bytes of dynamic shared memory was written",
            from - block_.data(), block_.size());
    }
  }

  std::byte* all_ = nullptr;
  std::size_t bytes_ = 0;
  std::span<std::byte> block_;
};

struct Engine {
  BlockRunner runner;
  SharedMemory shared;
};
thread_local std::unique_ptr<Engine> this_engine;
thread_local std::uint64_t blocks_begun = 0;

Engine& engine() {
  if (!this_engine) this_engine = std::make_unique<Engine>();
  return *this_engine;
}
BlockRunner& runner() {
  check(in_kernel(), "device code was called outside a kernel");
  return this_engine->runner;
}

// What cudaFuncSetAttribute allowed each kernel.
class Allowed {
 public:
  void set(const void* kernel, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    bytes_[kernel] = bytes;
  }
  std::size_t of(const void* kernel) {
    const std::lock_guard lock(mutex_);
    const auto found = bytes_.find(kernel);
    return std::max(kWithoutAsking, found == bytes_.end() ? 0 : found->second);
  }

 private:
  std::mutex mutex_;
  std::map<const void*, std::size_t> bytes_;
};
Allowed& allowed() {
  static Allowed all;
  return all;
}

cudaError_t check_config(const cudaLaunchConfig_t& config, const void* kernel) {
  const dim3 g = config.gridDim, b = config.blockDim;
  const std::uint64_t threads = std::uint64_t{b.x} * b.y * b.z;
  if (g.x == 0 || g.y == 0 || g.z == 0 || g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535 ||
      threads == 0 || threads > 1024 || b.z > 64) {
    return cudaErrorInvalidConfiguration;
  }
  if (config.dynamicSmemBytes > allowed().of(kernel)) return cudaErrorInvalidValue;
  return cudaSuccess;
}

// The blocks' numbers in the order they run in.
std::vector<std::uint64_t> block_order(std::uint64_t blocks) {
  std::vector<std::uint64_t> order(blocks);
  std::iota(order.begin(), order.end(), std::uint64_t{0});
  if (settings().blocks == Order::backward) std::reverse(order.begin(), order.end());
  if (settings().blocks == Order::shuffled) {
    std::shuffle(order.begin(), order.end(), std::mt19937_64(settings().seed));
  }
  return order;
}

void run_block(const cudaLaunchConfig_t& config, const void* kernel, std::uint64_t n,
               const std::function<void()>& body) {
  Engine& e = engine();
  gridDim = config.gridDim;
  blockDim = config.blockDim;
  const std::uint64_t nx = gridDim.x, ny = gridDim.y;
  blockIdx = {static_cast<unsigned>(n % nx), static_cast<unsigned>(n / nx % ny),
              static_cast<unsigned>(n / (nx * ny))};
  ++blocks_begun;
  poison_static_shared();
  e.shared.begin_block(config.dynamicSmemBytes);
  try {
    e.runner.run(config.blockDim, settings().seed + n, body);
    write_copies_out();
    e.shared.end_block();
  } catch (const Error& error) {
    fail("{}, block ({}, {}, {}): {}", function_name(kernel), blockIdx.x, blockIdx.y, blockIdx.z,
         error.what());
  }
}

}  // namespace

std::size_t most_shared_bytes() {
  const int major = settings().major, minor = settings().minor;
  if (major == 8 && minor != 0) return std::size_t{99} << 10;
  return std::size_t{major >= 9 ? 227u : 163u} << 10;
}

Settings& settings() {
  static Settings all;
  return all;
}

bool in_kernel() { return this_engine && this_engine->runner.rank() >= 0; }
int thread_rank() { return runner().rank(); }
int block_threads() { return runner().threads(); }
std::uint64_t block_serial() { return blocks_begun; }

void collective_erased(Group group, const char* operation, void* deposit, Compute compute,
                       void* context, std::source_location where) {
  runner().meet(group, operation, deposit, compute, context, where);
}
void named_barrier_sync(int id, int threads, std::source_location where) {
  runner().barrier(id, threads, true, where);
}
void named_barrier_arrive(int id, int threads, std::source_location where) {
  runner().barrier(id, threads, false, where);
}
void let_others_run(const char* why, bool again, std::source_location where) {
  runner().let_others_run(why, again, where);
}

std::span<std::byte> dynamic_shared_memory() {
  check(in_kernel(), "shared memory was asked for outside a kernel");
  return this_engine->shared.block();
}

std::uint32_t shared_address(const void* pointer) {
  const auto* p = static_cast<const std::byte*>(pointer);
  const std::span<std::byte> dynamic = dynamic_shared_memory();
  if (p >= dynamic.data() && p < dynamic.data() + dynamic.size()) {
    return kDynamicAddress + static_cast<std::uint32_t>(p - dynamic.data());
  }
  const StaticShared all = static_shared();
  check(p >= all.begin && p < all.begin + all.bytes, "{} is no pointer into shared memory",
        pointer);
  const auto below = reinterpret_cast<std::uintptr_t>(all.begin) % kAlignment;
  return kStaticAddress + static_cast<std::uint32_t>(p - all.begin) +
         static_cast<std::uint32_t>(below);
}

void* shared_pointer(std::uint32_t address, std::size_t bytes) {
  const std::span<std::byte> dynamic = dynamic_shared_memory();
  if (address < kStaticAddress) {
    check(address >= kDynamicAddress && address - kDynamicAddress + bytes <= dynamic.size(),
          "shared memory: {} bytes at {} of {} bytes of dynamic shared memory", bytes,
          static_cast<std::int64_t>(address) - kDynamicAddress, dynamic.size());
    return dynamic.data() + (address - kDynamicAddress);
  }
  const StaticShared all = static_shared();
  const auto below = reinterpret_cast<std::uintptr_t>(all.begin) % kAlignment;
  const std::size_t at = address - kStaticAddress - below;
  check(at + bytes <= all.bytes, "shared memory: no variable at {:#x}", address);
  return all.begin + at;
}

void check_device_range(const void* pointer, std::size_t bytes, const char* what) {
  check(DeviceHeap::instance().contains(pointer, bytes),
        "{}: {} bytes at {} are not in an allocation of device memory", what, bytes, pointer);
}

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel,
                   const std::function<void()>& body) {
  if (!settings().has_kernel_image) return cudaErrorNoKernelImageForDevice;
  if (const cudaError_t status = check_config(config, kernel); status != cudaSuccess) return status;
  check(config.numAttrs == 0, "clusters of blocks are not emulated");
  check(!in_kernel(), "a kernel cannot launch a kernel");
  if (work_listener()) work_listener()(function_name(kernel).c_str());
  const DeviceHeap::Open open;
  const dim3 grid = config.gridDim;
  const std::vector<std::uint64_t> order = block_order(std::uint64_t{grid.x} * grid.y * grid.z);
  std::size_t next = 0;
  const auto run_all = [&](int) {
    while (next < order.size()) run_block(config, kernel, order[next++], body);
  };
  const auto together = std::min(order.size(), static_cast<std::size_t>(settings().blocks_at_once));
  if (together > 1) {
    run_by_turns(static_cast<int>(together), settings().seed, run_all);
  } else {
    run_all(0);
  }
  return cudaSuccess;
}

}  // namespace mixspan::emulation

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value) {
  if (value < 0 || static_cast<std::size_t>(value) > mixspan::emulation::most_shared_bytes()) {
    return cudaErrorInvalidValue;
  }
  mixspan::emulation::allowed().set(kernel, static_cast<std::size_t>(value));
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int threads,
                                                          std::size_t dynamic_shared) {
  const std::size_t by_shared = (std::size_t{228} << 10) / (dynamic_shared + 1024);
  *blocks =
      static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(2048 / threads), by_shared));
  return cudaSuccess;
}
