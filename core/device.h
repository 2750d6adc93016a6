// Devices: which there are, their memory, their streams. The only interface to a GPU's memory; its
// implementation is in core/cuda, or in core/cuda/absent where the build has no CUDA.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "core/stream.h"

namespace mixspan {

enum class DeviceKind { cpu, cuda };

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;
  bool is_cuda() const { return kind == DeviceKind::cuda; }
  std::string str() const;  ///< "cpu", "cuda:0"
  friend bool operator==(const Device&, const Device&) = default;
};

/// CUDA devices that this process can use; 0 without any.
int device_count();
/// One line for a person: why device_count() is 0 (no CUDA in this build, no driver, a driver that
/// is too old, no device). Empty when it is not 0.
std::string why_no_device();
/// The same of one device, which may also be one that this build has no code for. Empty where it
/// can be used.
std::string why_not(Device device);
/// Refuses (InputError) a device that cannot be used.
void require_device(Device device);

struct DeviceInfo {
  std::string name;
  int major = 0, minor = 0;  ///< compute capability
  int sm_count = 0;
  std::size_t memory_bytes = 0;
  std::size_t shared_bytes_per_block = 0;  ///< the most that a kernel may ask for
  std::string uuid;  ///< 16 bytes: the same in every process, whatever devices it is shown
};
DeviceInfo describe(Device device);

struct DeviceMemory {
  std::size_t free_bytes, total_bytes;
};
DeviceMemory memory_of(Device device);

/// Makes it the device that the calling thread launches on. A thread that works with one device
/// calls it once. Does nothing for a CPU.
void use_device(Device device);

/// Copies by `reader` from memory of `other` go straight between them from here on; false where
/// they are not connected, or `reader` is to as many as it can be, so that CUDA takes them through
/// the host. May be called again.
bool connect(Device reader, Device other);

/// Memory of a device, 256-byte aligned, not initialised. Throws OutOfMemory that names `what`, the
/// bytes wanted, and what is free of how much.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(Device device, std::size_t bytes, std::string_view what);
  void* data() const { return memory_.get(); }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Free {
    Device device;
    void operator()(void* p) const;
  };
  std::unique_ptr<void, Free> memory_;
  std::size_t bytes_ = 0;
};

/// Host memory that a device copies from and to without a stop in between. The host must
/// synchronise before it reads what a copy brings, and before it overwrites what a copy takes.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  PinnedBuffer(std::size_t bytes, std::string_view what);
  void* data() const { return memory_.get(); }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* p) const;
  };
  std::unique_ptr<void, Free> memory_;
  std::size_t bytes_ = 0;
};

/// A stream that does not wait for the default stream, nor the default stream for it.
class OwnedStream {
 public:
  OwnedStream() = default;
  explicit OwnedStream(Device device);
  operator Stream() const { return Stream(handle_.get()); }  // NOLINT: used as what it owns

 private:
  struct Free {
    void operator()(void* p) const;
  };
  std::unique_ptr<void, Free> handle_;
};

class OwnedEvent {
 public:
  OwnedEvent() = default;
  /// timed: milliseconds_between() may ask for it; costs a little.
  explicit OwnedEvent(Device device, bool timed = false);
  operator Event() const { return Event(handle_.get()); }  // NOLINT

 private:
  struct Free {
    void operator()(void* p) const;
  };
  std::unique_ptr<void, Free> handle_;
};

void record(Event event, Stream stream);
/// What `stream` gets from here on waits for the event. The host does not wait.
void wait(Stream stream, Event event);
void synchronise(Event event);    ///< the host waits
void synchronise(Stream stream);  ///< the host waits; errors of earlier kernels come out here
/// Both events timed and reached.
double milliseconds_between(Event begin, Event end);

/// In the stream's order. Each of the two may be memory of any device, pinned, or ordinary host
/// memory. Ordinary memory as source may be reused, as target be read, when the call returns.
void copy_bytes(Stream stream, void* to, const void* from, std::size_t bytes);
/// `rows` pieces of `bytes` each, which lie the given pitches apart.
void copy_rows(Stream stream, void* to, std::size_t to_pitch, const void* from,
               std::size_t from_pitch, std::size_t bytes, std::size_t rows);
/// Sets every byte of device memory, in the stream's order.
void fill_bytes(Stream stream, void* to, int value, std::size_t bytes);

}  // namespace mixspan
