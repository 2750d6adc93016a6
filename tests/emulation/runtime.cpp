// CUDA's runtime API for emulated devices: all work is done at once, but what only a synchronised
// host may rely on is not there before (pinned.h).
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "core/error.h"
#include "tests/emulation/cuda_api.h"
#include "tests/emulation/device_heap.h"
#include "tests/emulation/emulation.h"
#include "tests/emulation/peers.h"
#include "tests/emulation/pinned.h"
#include "tests/emulation/profiler_ranges.h"

namespace emulation = mixspan::emulation;
using emulation::DeviceHeap;
using emulation::peers;
using emulation::PinnedMemory;
using emulation::settings;

// What a stream has waited for: known to its events also after its end, and to any thread.
struct WaitedFor {
  struct Moment {
    cudaStream_t stream;
    std::uint64_t number;
  };
  std::mutex mutex;
  std::vector<Moment> moments;
};
struct CUevent_st {
  bool timed = false;
  bool recorded = false;
  bool asked = false;  // cudaEventQuery, since it was recorded
  cudaStream_t stream = nullptr;
  std::shared_ptr<WaitedFor> waited_for;
  std::uint64_t moment = 0;
  std::chrono::steady_clock::time_point time;
};
struct CUstream_st {
  std::shared_ptr<WaitedFor> waited_for = std::make_shared<WaitedFor>();
};

namespace {

constexpr int kRuntimeVersion = 13000;  // CUDA 13.0

thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;

cudaError_t result(cudaError_t status) {
  if (status != cudaSuccess) last_error = status;
  return status;
}

bool is_device(int device) { return device >= 0 && device < settings().devices; }

// Both ends are of one allocation, where they are on a device.
bool in_bounds(const void* p, std::size_t bytes) {
  DeviceHeap& heap = DeviceHeap::instance();
  return !heap.is_device_address(p) || heap.contains(p, bytes);
}

void arrive(cudaStream_t stream, WaitedFor* waited_for, std::uint64_t moment) {
  PinnedMemory::instance().arrive(stream, moment);
  if (waited_for == nullptr) return;
  const std::lock_guard lock(waited_for->mutex);
  for (const WaitedFor::Moment& m : waited_for->moments) {
    PinnedMemory::instance().arrive(m.stream, m.number);
  }
}
void arrive(cudaStream_t stream, std::uint64_t moment) {
  arrive(stream, stream == nullptr ? nullptr : stream->waited_for.get(), moment);
}
void arrive(const CUevent_st& event) {
  if (event.recorded) arrive(event.stream, event.waited_for.get(), event.moment);
}

}  // namespace

namespace mixspan::emulation {

Peers& peers() {
  static Peers all;
  return all;
}

}  // namespace mixspan::emulation

const char* cudaGetErrorName(cudaError_t status) {
  switch (status) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorDevicesUnavailable:
      return "cudaErrorDevicesUnavailable";
    case cudaErrorNoKernelImageForDevice:
      return "cudaErrorNoKernelImageForDevice";
    case cudaErrorSystemDriverMismatch:
      return "cudaErrorSystemDriverMismatch";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorPeerAccessAlreadyEnabled:
      return "cudaErrorPeerAccessAlreadyEnabled";
    case cudaErrorTooManyPeers:
      return "cudaErrorTooManyPeers";
  }
  return "?";
}
const char* cudaGetErrorString(cudaError_t) { return "(emulated)"; }
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  if (settings().driver_problem != 0) {
    return result(static_cast<cudaError_t>(settings().driver_problem));
  }
  if (settings().driver_version < kRuntimeVersion) return result(cudaErrorInsufficientDriver);
  *count = settings().devices;
  return settings().devices > 0 ? cudaSuccess : result(cudaErrorNoDevice);
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (!is_device(device)) return result(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp p{};
  if (const cudaError_t status = cudaGetDeviceProperties(&p, device); status != cudaSuccess) {
    return status;
  }
  if (attribute == cudaDevAttrMultiProcessorCount) *value = p.multiProcessorCount;
  if (attribute == cudaDevAttrComputeCapabilityMajor) *value = p.major;
  if (attribute == cudaDevAttrComputeCapabilityMinor) *value = p.minor;
  if (attribute == cudaDevAttrMaxSharedMemoryPerBlockOptin) {
    *value = static_cast<int>(p.sharedMemPerBlockOptin);
  }
  return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  if (!is_device(device) || !is_device(peer)) return result(cudaErrorInvalidDevice);
  *can = device != peer;
  return cudaSuccess;
}
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned) {
  if (!is_device(peer) || peer == current_device) return result(cudaErrorInvalidDevice);
  if (peers().connected(current_device, peer)) return result(cudaErrorPeerAccessAlreadyEnabled);
  if (peers().count(current_device) >= settings().most_peers) return result(cudaErrorTooManyPeers);
  peers().connect(current_device, peer);
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  if (!is_device(device)) return result(cudaErrorInvalidDevice);
  *p = {};
  std::strcpy(p->name, "emulated device");
  p->totalGlobalMem = settings().memory_bytes;
  p->sharedMemPerBlock = 48 << 10;
  p->sharedMemPerBlockOptin = mixspan::emulation::most_shared_bytes();
  p->major = settings().major;
  p->minor = settings().minor;
  p->multiProcessorCount = settings().sm_count;
  p->l2CacheSize = 40 << 20;
  p->uuid.bytes[0] = static_cast<char>(device);
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = settings().driver_version;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kRuntimeVersion;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  PinnedMemory::instance().arrive_all();
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  *pointer = DeviceHeap::instance().allocate(current_device, bytes);
  return *pointer != nullptr ? cudaSuccess : result(cudaErrorMemoryAllocation);
}
cudaError_t cudaFree(void* pointer) {
  if (pointer != nullptr) DeviceHeap::instance().free(pointer);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  *pointer = PinnedMemory::instance().allocate(bytes);
  return *pointer != nullptr ? cudaSuccess : result(cudaErrorMemoryAllocation);
}
cudaError_t cudaFreeHost(void* pointer) {
  if (pointer != nullptr) PinnedMemory::instance().free(pointer);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *total = settings().memory_bytes;
  *free = *total - DeviceHeap::instance().used(current_device);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  if (!in_bounds(to, bytes) || !in_bounds(from, bytes)) return result(cudaErrorInvalidValue);
  if (emulation::work_listener()) emulation::work_listener()("a copy");
  DeviceHeap& heap = DeviceHeap::instance();
  peers().note_copy(heap.device_of(to), heap.device_of(from));
  const DeviceHeap::Open open;
  PinnedMemory& pinned = PinnedMemory::instance();
  const bool from_pinned = pinned.contains(from);
  if (from_pinned) arrive(stream, pinned.now());  // what the stream brought there comes first
  if (pinned.contains(to)) {
    pinned.send(stream, to, from, bytes);
  } else {
    std::memmove(to, from, bytes);
  }
  if (from_pinned) pinned.watch(stream, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  attributes->type = DeviceHeap::instance().is_device_address(pointer) ? cudaMemoryTypeDevice
                     : PinnedMemory::instance().contains(pointer)      ? cudaMemoryTypeHost
                                                                       : cudaMemoryTypeUnregistered;
  return cudaSuccess;
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  if (width > to_pitch || width > from_pitch) return result(cudaErrorInvalidValue);
  for (std::size_t row = 0; row < height; ++row) {
    const cudaError_t status = cudaMemcpyAsync(
        static_cast<std::byte*>(to) + row * to_pitch,
        static_cast<const std::byte*>(from) + row * from_pitch, width, kind, stream);
    if (status != cudaSuccess) return status;
  }
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t) {
  if (!DeviceHeap::instance().contains(to, bytes)) return result(cudaErrorInvalidValue);
  if (emulation::work_listener()) emulation::work_listener()("a filling");
  const DeviceHeap::Open open;
  std::memset(to, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  arrive(stream, PinnedMemory::instance().now());
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  DeviceHeap::instance().check_margins();
  arrive(stream, PinnedMemory::instance().now());
  if (stream != nullptr) {
    const std::lock_guard lock(stream->waited_for->mutex);
    stream->waited_for->moments.clear();
  }
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (event == nullptr) return result(cudaErrorInvalidResourceHandle);
  if (event->recorded && stream != nullptr) {
    const std::lock_guard lock(stream->waited_for->mutex);
    stream->waited_for->moments.push_back({event->stream, event->moment});
  }
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st;
  (*event)->timed = flags == cudaEventDefault;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (event == nullptr) return result(cudaErrorInvalidResourceHandle);
  event->recorded = true;
  event->asked = false;
  event->stream = stream;
  event->waited_for = stream == nullptr ? nullptr : stream->waited_for;
  event->moment = PinnedMemory::instance().now();
  event->time = std::chrono::steady_clock::now();
  return cudaSuccess;
}
// A GPU takes its time: who asks for the first time is told that it is not there yet.
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (event == nullptr) return result(cudaErrorInvalidResourceHandle);
  if (event->recorded && !std::exchange(event->asked, true)) return result(cudaErrorNotReady);
  arrive(*event);
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event == nullptr) return result(cudaErrorInvalidResourceHandle);
  arrive(*event);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  if (!begin->timed || !end->timed || !begin->recorded || !end->recorded) {
    return result(cudaErrorInvalidResourceHandle);
  }
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
  return cudaSuccess;
}
