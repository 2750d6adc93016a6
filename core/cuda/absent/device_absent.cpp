// core/device.h for a build without CUDA: there is no device, and whoever asks for one is told so.
#include "core/device.h"
#include "core/error.h"

namespace mixspan {

namespace {

constexpr std::string_view kWhy = "this build has no CUDA (it was configured without nvcc)";
[[noreturn]] void no_cuda(std::string_view what) { fail("{}: {}", what, kWhy); }

}  // namespace

int device_count() { return 0; }
std::string why_no_device() { return std::string(kWhy); }
std::string why_not(Device device) { return device.is_cuda() ? std::string(kWhy) : ""; }
void require_device(Device device) {
  require(!device.is_cuda(), "device: {} cannot be used: {}. device=cpu works.", device.str(),
          kWhy);
}
DeviceInfo describe(Device device) { no_cuda(device.str()); }
DeviceMemory memory_of(Device device) { no_cuda(device.str()); }
void use_device(Device device) {
  if (device.is_cuda()) no_cuda(device.str());
}

bool connect(Device, Device) { no_cuda("connect"); }

DeviceBuffer::DeviceBuffer(Device, std::size_t, std::string_view what) { no_cuda(what); }
void DeviceBuffer::Free::operator()(void*) const {}
PinnedBuffer::PinnedBuffer(std::size_t, std::string_view what) { no_cuda(what); }
void PinnedBuffer::Free::operator()(void*) const {}
OwnedStream::OwnedStream(Device) { no_cuda("a stream"); }
void OwnedStream::Free::operator()(void*) const {}
OwnedEvent::OwnedEvent(Device, bool) { no_cuda("an event"); }
void OwnedEvent::Free::operator()(void*) const {}

void record(Event, Stream) { no_cuda("record"); }
void wait(Stream, Event) { no_cuda("wait"); }
void synchronise(Event) { no_cuda("synchronise"); }
void synchronise(Stream) { no_cuda("synchronise"); }
double milliseconds_between(Event, Event) { no_cuda("milliseconds_between"); }
void copy_bytes(Stream, void*, const void*, std::size_t) { no_cuda("copy_bytes"); }
void copy_rows(Stream, void*, std::size_t, const void*, std::size_t, std::size_t, std::size_t) {
  no_cuda("copy_rows");
}
void fill_bytes(Stream, void*, int, std::size_t) { no_cuda("fill_bytes"); }

}  // namespace mixspan
