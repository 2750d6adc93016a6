// core/device.h on CUDA's runtime.
#include "core/device.h"

#include <cuda_runtime.h>

#include "core/cuda/cuda_check.h"

namespace mixspan {

namespace {

using cuda::native;

// 12080 -> "12.8"
std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

void check_cuda(Device device, std::string_view what) {
  check(device.is_cuda(), "{}: wanted a CUDA device, got {}", what, device.str());
}

// cubins are for sm_80, which every 8.x runs, and for sm_90a, which runs on 9.0 alone.
bool has_code_for(int major, int minor) { return major == 8 || (major == 9 && minor == 0); }

// Makes a device current and puts the former back.
class CurrentDevice {
 public:
  explicit CurrentDevice(Device device) {
    cuda::check(cudaGetDevice(&before_));
    if (before_ != device.index) cuda::check(cudaSetDevice(device.index));
    changed_ = before_ != device.index;
  }
  ~CurrentDevice() {
    if (changed_) cudaSetDevice(before_);
  }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  int before_ = 0;
  bool changed_ = false;
};

}  // namespace

int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return count;
}

std::string why_no_device() {
  int count = 0, driver = 0, runtime = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (status == cudaSuccess && count > 0) return "";
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return "no NVIDIA driver is installed on this machine";
  if (status == cudaErrorInsufficientDriver) {
    return fmt::format(
        "the NVIDIA driver knows CUDA {} at most, this build needs {}: wanted a newer driver, or a "
        "build with an older CUDA",
        version_text(driver), version_text(runtime));
  }
  if (status == cudaSuccess || status == cudaErrorNoDevice) {
    return "the NVIDIA driver shows no device (is CUDA_VISIBLE_DEVICES set?)";
  }
  const char* why = cuda::misfit(status);
  return fmt::format("CUDA says {}: {}", cudaGetErrorName(status),
                     why != nullptr ? why : cudaGetErrorString(status));
}

std::string why_not(Device device) {
  if (!device.is_cuda()) return "";
  const int count = device_count();
  if (count == 0) return why_no_device();
  if (device.index < 0 || device.index >= count) {
    return fmt::format("there are cuda:0 to cuda:{}", count - 1);
  }
  const DeviceInfo info = describe(device);
  if (has_code_for(info.major, info.minor)) return "";
  return fmt::format("this build has code for compute capability 8.x and 9.0; {} ({}) has {}.{}",
                     device.str(), info.name, info.major, info.minor);
}

void require_device(Device device) {
  const std::string why = why_not(device);
  require(why.empty(), "device: {} cannot be used: {}. device=cpu works.", device.str(), why);
}

DeviceInfo describe(Device device) {
  check_cuda(device, "describe");
  cudaDeviceProp p{};
  cuda::check(cudaGetDeviceProperties(&p, device.index));
  return {.name = p.name,
          .major = p.major,
          .minor = p.minor,
          .sm_count = p.multiProcessorCount,
          .memory_bytes = p.totalGlobalMem,
          .shared_bytes_per_block = p.sharedMemPerBlockOptin,
          .uuid = std::string(p.uuid.bytes, sizeof p.uuid.bytes)};
}

DeviceMemory memory_of(Device device) {
  check_cuda(device, "memory_of");
  const CurrentDevice current(device);
  DeviceMemory m{};
  cuda::check(cudaMemGetInfo(&m.free_bytes, &m.total_bytes));
  return m;
}

void use_device(Device device) {
  if (device.is_cuda()) cuda::check(cudaSetDevice(device.index));
}

bool connect(Device reader, Device other) {
  check_cuda(reader, "connect");
  check_cuda(other, "connect");
  if (reader == other) return true;
  int can = 0;
  cuda::check(cudaDeviceCanAccessPeer(&can, reader.index, other.index));
  if (can == 0) return false;
  const CurrentDevice current(reader);
  const cudaError_t status = cudaDeviceEnablePeerAccess(other.index, 0);
  if (status == cudaErrorPeerAccessAlreadyEnabled || status == cudaErrorTooManyPeers) {
    cudaGetLastError();
    return status == cudaErrorPeerAccessAlreadyEnabled;
  }
  cuda::check(status);
  return true;
}

DeviceBuffer::DeviceBuffer(Device device, std::size_t bytes, std::string_view what) {
  check_cuda(device, what);
  const CurrentDevice current(device);
  void* p = nullptr;
  const cudaError_t status = cudaMalloc(&p, bytes > 0 ? bytes : 1);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    const DeviceMemory m = memory_of(device);
    fail_memory("{}: {} bytes on {} were wanted; {} of {} bytes are free", what, bytes,
                device.str(), m.free_bytes, m.total_bytes);
  }
  cuda::check(status);
  memory_ = std::unique_ptr<void, Free>(p, Free{device});
  bytes_ = bytes;
}

// Destructors do not throw: at the end of a process the driver may be gone already.
void DeviceBuffer::Free::operator()(void* p) const {
  cudaFree(p);
  cudaGetLastError();
}

PinnedBuffer::PinnedBuffer(std::size_t bytes, std::string_view what) {
  void* p = nullptr;
  const cudaError_t status = cudaMallocHost(&p, bytes > 0 ? bytes : 1);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    fail_memory("{}: {} bytes of pinned host memory were refused", what, bytes);
  }
  cuda::check(status);
  memory_.reset(p);
  bytes_ = bytes;
}

void PinnedBuffer::Free::operator()(void* p) const {
  cudaFreeHost(p);
  cudaGetLastError();
}

OwnedStream::OwnedStream(Device device) {
  check_cuda(device, "a stream");
  const CurrentDevice current(device);
  cudaStream_t s = nullptr;
  cuda::check(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  handle_.reset(s);
}

void OwnedStream::Free::operator()(void* p) const {
  cudaStreamDestroy(static_cast<cudaStream_t>(p));
  cudaGetLastError();
}

OwnedEvent::OwnedEvent(Device device, bool timed) {
  check_cuda(device, "an event");
  const CurrentDevice current(device);
  cudaEvent_t e = nullptr;
  cuda::check(cudaEventCreateWithFlags(&e, timed ? cudaEventDefault : cudaEventDisableTiming));
  handle_.reset(e);
}

void OwnedEvent::Free::operator()(void* p) const {
  cudaEventDestroy(static_cast<cudaEvent_t>(p));
  cudaGetLastError();
}

void record(Event event, Stream stream) {
  cuda::check(cudaEventRecord(native(event), native(stream)));
}
void wait(Stream stream, Event event) {
  cuda::check(cudaStreamWaitEvent(native(stream), native(event), 0));
}
void synchronise(Event event) { cuda::check(cudaEventSynchronize(native(event))); }
void synchronise(Stream stream) { cuda::check(cudaStreamSynchronize(native(stream))); }

double milliseconds_between(Event begin, Event end) {
  float ms = 0;
  cuda::check(cudaEventElapsedTime(&ms, native(begin), native(end)));
  return static_cast<double>(ms);
}

namespace {
// Copies from ordinary memory and to it may be under way when CUDA returns, or not: it promises
// neither.
void end_if_ordinary(Stream stream, const void* to, const void* from) {
  for (const void* memory : {to, from}) {
    cudaPointerAttributes attributes{};
    cuda::check(cudaPointerGetAttributes(&attributes, memory));
    if (attributes.type == cudaMemoryTypeUnregistered) return synchronise(stream);
  }
}
}  // namespace

void copy_bytes(Stream stream, void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  // Addresses of host and devices are of one space, so the direction follows from them.
  cuda::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, native(stream)));
  end_if_ordinary(stream, to, from);
}

void copy_rows(Stream stream, void* to, std::size_t to_pitch, const void* from,
               std::size_t from_pitch, std::size_t bytes, std::size_t rows) {
  if (bytes == 0 || rows == 0) return;
  cuda::check(cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, bytes, rows, cudaMemcpyDefault,
                                native(stream)));
  end_if_ordinary(stream, to, from);
}

void fill_bytes(Stream stream, void* to, int value, std::size_t bytes) {
  if (bytes == 0) return;
  cuda::check(cudaMemsetAsync(to, value, bytes, native(stream)));
}

}  // namespace mixspan
