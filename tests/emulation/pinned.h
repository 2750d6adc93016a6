// Pinned host memory. What a copy brings there from a device is not there before the host
// synchronises.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

namespace mixspan::emulation {

class PinnedMemory {
 public:
  static PinnedMemory& instance();

  void* allocate(std::size_t bytes);
  void free(void* pointer);
  bool contains(const void* pointer);

  /// A copy to pinned memory on its way: the target holds NaN patterns until it arrives.
  void send(void* stream, void* to, const void* from, std::size_t bytes);
  /// A copy from pinned memory: the host must leave the source alone until it has arrived.
  void watch(void* stream, const void* from, std::size_t bytes);
  /// A number after that of all copies so far.
  std::uint64_t now();
  /// Copies of the stream before that moment are done; fails where the host changed a source.
  void arrive(void* stream, std::uint64_t before);
  void arrive_all();

 private:
  struct Copy {
    void* stream;
    std::uint64_t number;
    std::byte* to;          // null for a watched source
    const std::byte* from;  // null for a copy on its way
    std::vector<std::byte> bytes;
  };
  void finish(const Copy& copy);

  std::mutex mutex_;
  std::map<std::byte*, std::size_t> live_;
  std::vector<Copy> on_their_way_;
  std::uint64_t next_ = 0;
};

}  // namespace mixspan::emulation
