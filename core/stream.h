// A queue of device work, and a mark in one, as values that any code may hand on without a CUDA
// header.
#pragma once

#include <cstddef>

namespace mixspan {

/// Work of one stream runs in the order it was given; work of two streams in any. The default-made
/// one is the device's own default stream, and on a CPU means nothing. Does not own what it names:
/// OwnedStream of core/device.h does.
class Stream {
 public:
  Stream() = default;
  explicit Stream(void* handle) : handle_(handle) {}
  Stream(std::nullptr_t) = delete;  // a null pointer is no stream that anyone meant
  Stream(int) = delete;
  void* handle() const { return handle_; }
  friend bool operator==(const Stream&, const Stream&) = default;

 private:
  void* handle_ = nullptr;
};

/// A moment in a stream, once recorded.
class Event {
 public:
  Event() = default;
  explicit Event(void* handle) : handle_(handle) {}
  Event(std::nullptr_t) = delete;
  Event(int) = delete;
  void* handle() const { return handle_; }
  friend bool operator==(const Event&, const Event&) = default;

 private:
  void* handle_ = nullptr;
};

}  // namespace mixspan
