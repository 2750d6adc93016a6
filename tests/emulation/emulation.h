// CUDA without a GPU: runs the source of a kernel on the CPU, each of its threads as a fiber. What
// the overlay headers and the tests use; docs/architecture.md says how it fits together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <span>

namespace mixspan::emulation {

// ---- the machine that is emulated ---------------------------------------------------------------

/// In which order what may run in any order does run. A kernel whose result depends on it is wrong.
enum class Order { forward, backward, shuffled };

struct Settings {
  Order threads = Order::forward;  ///< of a block, wherever they do not wait for each other
  Order blocks = Order::forward;
  int blocks_at_once = 1;  ///< above 1: in flight together, where one may wait for another
  std::uint64_t seed = 0;  ///< for Order::shuffled
  int devices = 1;
  int major = 9, minor = 0;  ///< compute capability
  int sm_count = 4;
  int most_peers = 8;                               ///< devices whose memory one can reach
  std::size_t memory_bytes = std::size_t{1} << 30;  ///< of each device
  /// Which of the two ways that products have (gemm_emulated.cpp) a timing finds to be the fastest.
  std::uint64_t fastest_product = 0;
  /// No product has an algorithm where a matrix does not lie at multiples of 16 bytes.
  bool aligned_products_only = false;
  int driver_version = 13000;    ///< as CUDA counts: 13.0; 0: there is no driver
  int driver_problem = 0;        ///< the cudaError_t that looking for devices ends with
  bool has_kernel_image = true;  ///< whether kernels were compiled for this device
};
/// Of this process; tests change it between launches.
Settings& settings();
/// Shared memory that a block may ask for at most, by the compute capability.
std::size_t most_shared_bytes();

// ---- inside a kernel ----------------------------------------------------------------------------

/// Whether the caller is a thread of an emulated kernel.
bool in_kernel();
/// The calling thread's number in its block (x fastest), and the number of threads there.
int thread_rank();
int block_threads();
/// How many blocks the calling OS thread has begun: tells one block's state from the next one's.
std::uint64_t block_serial();
inline int lane() { return thread_rank() % 32; }

/// Threads that do something together.
struct Group {
  enum class Kind : std::uint8_t { warp, warpgroup, block };
  Kind kind = Kind::warp;
  unsigned mask = 0xffffffffu;  ///< lanes of the warp

  static Group warp(unsigned lanes = 0xffffffffu) { return {Kind::warp, lanes}; }
  static Group warpgroup() { return {Kind::warpgroup, 0xffffffffu}; }  ///< 4 warps, aligned
  static Group block() { return {Kind::block, 0xffffffffu}; }
};

/// What the threads of a group brought, by lane (thread of the warpgroup, of the block); null for
/// those that do not take part or have ended.
template <class T>
class Deposits {
 public:
  explicit Deposits(std::span<void* const> all) : all_(all) {}
  int size() const { return static_cast<int>(all_.size()); }
  T* operator[](int lane) const { return static_cast<T*>(all_[static_cast<std::size_t>(lane)]); }

 private:
  std::span<void* const> all_;
};

using Compute = void (*)(void* context, std::span<void* const> deposits);
void collective_erased(Group group, const char* operation, void* deposit, Compute compute,
                       void* context, std::source_location where);

/// An operation of a whole group: each thread brings `mine`; when the last has come,
/// compute(Deposits<T>) runs once for all, reading and writing what was brought; then all go on.
/// Fails when threads of the group come with different operations. The way to write shuffles, mma,
/// ldmatrix, wgmma:
///     struct Part { float a[4], b[2], c[4]; } mine{...};
///     collective(Group::warp(), "mma.m16n8k16", mine, [](Deposits<Part> all) { ... });
template <class T, class F>
void collective(Group group, const char* operation, T& mine, F compute,
                std::source_location where = std::source_location::current()) {
  const Compute erased = [](void* context, std::span<void* const> deposits) {
    (*static_cast<F*>(context))(Deposits<T>(deposits));
  };
  collective_erased(group, operation, &mine, erased, &compute, where);
}

/// bar.sync ID, THREADS and bar.arrive ID, THREADS: `threads` that wait or arrive make a phase.
void named_barrier_sync(int id, int threads,
                        std::source_location where = std::source_location::current());
void named_barrier_arrive(int id, int threads,
                          std::source_location where = std::source_location::current());

/// Lets other threads of the block run and comes back. `again`: since the last call nothing that
/// others could see has happened here. When all who can run only come here again, that is a
/// deadlock.
void let_others_run(const char* why, bool again, std::source_location where);

/// Waits until holds() does: for mbarriers and flags that other threads of the block set.
template <class F>
void wait_until(const char* what, F&& holds,
                std::source_location where = std::source_location::current()) {
  for (bool again = false; !holds(); again = true) let_others_run(what, again, where);
}

/// The block's dynamic shared memory, as asked for at the launch.
std::span<std::byte> dynamic_shared_memory();
/// A pointer into shared memory as the 32-bit address that PTX has for it, and back. Fail for any
/// other pointer or address, or where [pointer, pointer + bytes) is not of the block.
std::uint32_t shared_address(const void* pointer);
void* shared_pointer(std::uint32_t address, std::size_t bytes = 1);

/// Fails unless [pointer, pointer + bytes) lies in one allocation of device memory.
void check_device_range(const void* pointer, std::size_t bytes, const char* what);

}  // namespace mixspan::emulation
