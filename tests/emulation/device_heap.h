// Memory of the emulated devices. Its pages can be touched only while a kernel or a copy runs.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace mixspan::emulation {

class DeviceHeap {
 public:
  static DeviceHeap& instance();

  /// 256-byte aligned, filled with NaN patterns; its end is followed by a page that is never open.
  /// Null when the device has no more.
  void* allocate(int device, std::size_t bytes);
  void free(void* pointer);

  /// Fails where something was written just beside an allocation.
  void check_margins();

  std::size_t used(int device);
  /// Whether [pointer, pointer + bytes) lies in one allocation.
  bool contains(const void* pointer, std::size_t bytes);
  /// Which device's memory it is; -1: none's.
  int device_of(const void* pointer);
  /// Whether it is an address of device memory at all, allocated or not.
  bool is_device_address(const void* pointer) const;
  /// What is known of an address, for messages.
  std::string describe(const void* pointer);

  /// Opens all device memory for its life. Nests, also over threads.
  class Open {
   public:
    Open() { instance().open(); }
    ~Open() { instance().close(); }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;
  };

 private:
  struct Allocation {
    std::byte* pages;
    std::size_t page_bytes;
    std::size_t bytes;
    int device;
  };
  DeviceHeap();
  void open();
  void close();
  void protect(const Allocation& a, int protection);
  static void check_margins_of(const std::byte* begin, const Allocation& a);

  std::recursive_mutex mutex_;
  std::byte* base_ = nullptr;
  std::size_t next_ = 0;
  int opened_ = 0;
  std::map<std::byte*, Allocation> live_;         // by the address that was handed out
  std::multimap<std::size_t, std::byte*> freed_;  // pages by their bytes
};

}  // namespace mixspan::emulation
