#include "tests/emulation/self/faulty_kernels.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx_sm90_sums.cuh"
#include "kernels/cuda/vec.cuh"
#include "tests/emulation/emulation.h"

namespace mixspan::test {

namespace {

using namespace mixspan::cuda;

__global__ void neighbours_kernel(std::int32_t* out, bool forget_barrier) {
  __shared__ std::int32_t numbers[64];
  const int t = static_cast<int>(threadIdx.x);
  numbers[t] = t;
  if (!forget_barrier) __syncthreads();
  out[t] = numbers[(t + 33) % 64];
}

__global__ void unwritten_kernel(float* out) {
  __shared__ float fixed[16];
  const int t = static_cast<int>(threadIdx.x);
  float* mine = t < 16 ? fixed + t : dynamic_shared<float>() + t - 16;
  out[t] = *mine;
  *mine = 1;  // for the next launch to see, if it could
}

__global__ void faulty_kernel(Fault fault) {
  const int t = static_cast<int>(threadIdx.x);
  switch (fault) {
    case Fault::none:
      break;
    case Fault::one_thread_skips_barrier:
      if (t != 5) __syncwarp();
      emulation::named_barrier_sync(1, 96);
      break;
    case Fault::barrier_in_two_branches:
      if (t < 32) {
        __syncthreads();
      } else {
        __syncthreads();
      }
      break;
    case Fault::lanes_do_different_things:
      if (t % 32 < 16) {
        __syncwarp();
      } else {
        __shfl_xor_sync(kAllLanes, t, 1);
      }
      break;
    case Fault::lane_outside_its_mask:
      __syncwarp(0xffffu);
      break;
    case Fault::comes_twice:
      if (t == 0) {
        emulation::named_barrier_arrive(2, 64);
        emulation::named_barrier_arrive(2, 64);
      }
      break;
    case Fault::flag_never_set: {
      __shared__ int flag;
      if (t == 0) flag = 0;
      __syncthreads();
      if (t < 3) emulation::wait_until("the flag", [&] { return flag == 1; });
      break;
    }
    case Fault::failed_check:
      check(t < 40, "thread {} does not like it", t);
      break;
  }
}

__global__ void write_shared_kernel(std::int64_t at) {
  reinterpret_cast<char*>(dynamic_shared<char>())[at] = 1;
}

__global__ void write_static_shared_kernel(int index, float* out) {
  __shared__ float values[32];
  values[index] = 1;
  *out = values[index];
}

__global__ void write_device_kernel(char* x, std::int64_t at) { x[at] = 1; }

__global__ void hand_over_kernel(std::int32_t* out, int rounds) {
  __shared__ std::int32_t box[32];
  const int lane = static_cast<int>(threadIdx.x) % 32;
  constexpr int kFull = 1, kEmpty = 2;
  std::int32_t got = 0;
  if (threadIdx.x < 32) {
    for (int r = 0; r < rounds; ++r) {
      if (r > 0) emulation::named_barrier_sync(kEmpty, 64);
      box[lane] = (r + 1) * 100 + lane;
      emulation::named_barrier_arrive(kFull, 64);
    }
  } else {
    for (int r = 0; r < rounds; ++r) {
      emulation::named_barrier_sync(kFull, 64);
      got += box[31 - lane];
      if (r + 1 < rounds) emulation::named_barrier_arrive(kEmpty, 64);
    }
  }
  out[threadIdx.x] = got;
}

__global__ void rest_kernel(std::int32_t* out, int ended) {
  const int t = static_cast<int>(threadIdx.x);
  out[t] = -1;
  if (t < ended) return;
  struct Part {
    int mine, sum;
  } part{t, 0};
  emulation::collective(emulation::Group::warp(), "a sum", part, [](emulation::Deposits<Part> all) {
    int sum = 0;
    for (int l = 0; l < all.size(); ++l) sum += all[l] ? all[l]->mine : 0;
    for (int l = 0; l < all.size(); ++l) {
      if (all[l]) all[l]->sum = sum;
    }
  });
  out[t] = part.sum;
}

__global__ void tickets_kernel(std::int32_t* out, std::int32_t* counter) {
  if (threadIdx.x == 0) out[blockIdx.x] = atomicAdd(counter, 1);
}

__global__ void flag_kernel(std::int32_t* out, std::int32_t* flag, bool for_ever) {
  const auto me = static_cast<std::int32_t>(blockIdx.x);
  if (threadIdx.x == 0) {
    wait_for_flag(flag, me + (for_ever && blockIdx.x + 1 == gridDim.x ? 1 : 0));
    out[me] = *flag;
    set_flag(flag, me + 1);
  }
  __syncthreads();
}

__global__ void votes_kernel(std::int32_t* out) {
  const int t = static_cast<int>(threadIdx.x);
  const unsigned odd = __ballot_sync(kAllLanes, t % 2);
  const bool any = __any_sync(kAllLanes, t == 40), all = __all_sync(kAllLanes, t < 32);
  const int below = __shfl_up_sync(kAllLanes, t, 1);
  const int first = __shfl_sync(kAllLanes, t, 0, 8);
  const int beyond = __shfl_down_sync(kAllLanes, t, 4, 8);
  const int many = __syncthreads_count(t < 10);
  out[t] = odd == 0xaaaaaaaau && any == (t >= 32) && all == (t < 32) && many == 10 &&
                   below == (t % 32 == 0 ? t : t - 1) && first == t / 8 * 8 &&
                   beyond == (t % 8 < 4 ? t + 4 : t)
               ? 1
               : 0;
}

__global__ void addresses_kernel(std::int32_t* out) {
  __shared__ __align__(64) float fixed[16];
  float* dynamic = dynamic_shared<float>();
  const std::uint32_t a = emulation::shared_address(dynamic + 5);
  const std::uint32_t b = emulation::shared_address(fixed + 16 / 2);
  out[0] = emulation::shared_pointer(a, 4) == dynamic + 5 && a % 1024 == 20;
  out[1] = emulation::shared_pointer(b, 32) == fixed + 8 && b % 64 == 32;
  const auto refuses = [](std::uint32_t address, std::size_t bytes) {
    try {
      emulation::shared_pointer(address, bytes);
      return false;
    } catch (const Error&) {
      return true;
    }
  };
  out[2] = refuses(a, 4096) && refuses(a - 24, 1);
  out[3] = refuses(b + (1u << 20), 4);
}

}  // namespace

void neighbours(const Exec& ex, View out, bool forget_barrier) {
  launch(ex, neighbours_kernel, dim3(1), dim3(64), 0, out.data<std::int32_t>(), forget_barrier);
}
void read_unwritten(const Exec& ex, View out) {
  launch(ex, unwritten_kernel, dim3(1), dim3(32), 64, out.data<float>());
}
void run_faulty(const Exec& ex, Fault fault) {
  launch(ex, faulty_kernel, dim3(1), dim3(64), 0, fault);
}
void write_shared(const Exec& ex, std::size_t bytes, std::int64_t at) {
  launch(ex, write_shared_kernel, dim3(1), dim3(1), bytes, at);
}
void write_static_shared(const Exec& ex, int index) {
  const Arena::Scope scope = ex.scratch.scope();
  View out = ex.scratch.allocate("out", {1});
  launch(ex, write_static_shared_kernel, dim3(1), dim3(1), 0, index, out.data<float>());
}
void write_device(const Exec& ex, View x, std::int64_t at) {
  launch(ex, write_device_kernel, dim3(1), dim3(1), 0, static_cast<char*>(x.raw()), at);
}
void hand_over(const Exec& ex, View out, int rounds) {
  launch(ex, hand_over_kernel, dim3(1), dim3(64), 0, out.data<std::int32_t>(), rounds);
}
void sum_of_the_rest(const Exec& ex, View out, int ended) {
  launch(ex, rest_kernel, dim3(1), dim3(32), 0, out.data<std::int32_t>(), ended);
}
void take_tickets(const Exec& ex, View out, View counter) {
  launch(ex, tickets_kernel, dim3(blocks_for(out.size(), 1)), dim3(64), 0, out.data<std::int32_t>(),
         counter.data<std::int32_t>());
}
void pass_a_flag(const Exec& ex, View out, View flag, bool for_ever) {
  launch(ex, flag_kernel, dim3(blocks_for(out.size(), 1)), dim3(64), 0, out.data<std::int32_t>(),
         flag.data<std::int32_t>(), for_ever);
}
void votes_and_shuffles(const Exec& ex, View out) {
  launch(ex, votes_kernel, dim3(1), dim3(64), 0, out.data<std::int32_t>());
}
void shared_addresses(const Exec& ex, View out) {
  launch(ex, addresses_kernel, dim3(1), dim3(1), 100, out.data<std::int32_t>());
}

}  // namespace mixspan::test
