// Labelled bump allocator: the only source of memory inside a step.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/device.h"
#include "core/tensor.h"

namespace mixspan {

/// Hands out memory from the bottom up and takes it back from the top down. On a CPU it reserves
/// address space once; pages are touched when first used, so a large reservation costs nothing. On
/// a device it takes chunks as they are needed and keeps them until its own end. One thread
/// allocates; any thread, and on a device the work of one stream, may use the memory: what a Scope
/// has released may be handed out again while work that was given to another stream still uses it.
class Arena {
 public:
  static constexpr std::size_t kHostCapacity = std::size_t{1} << 38;

  /// Reserves `capacity_bytes` of address space, less where less may be had; throws OutOfMemory
  /// below 1 GiB. `name` appears in errors and reports.
  explicit Arena(std::string name, std::size_t capacity_bytes = kHostCapacity);
  /// On the device; `capacity_bytes` bounds what it takes there, without it the device does. On a
  /// CPU the same as above.
  Arena(std::string name, Device device, std::size_t capacity_bytes = kHostCapacity);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Memory for a contiguous tensor, 64-byte aligned, on a device 256-byte. NOT zeroed: a reader
  /// must have written it. When there is no more throws OutOfMemory with the label, the bytes in
  /// use, what each label holds, largest first, and on a device what that has.
  View allocate(std::string_view label, Shape shape, DType dtype = DType::f32);

  /// Everything allocated during a Scope's life is released when it ends. Scopes nest.
  class [[nodiscard]] Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), mark_(arena.live_.size()) {}
    ~Scope() { arena_.release(mark_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    std::size_t mark_;
  };
  Scope scope() { return Scope(*this); }

  Device device() const { return device_; }
  std::size_t used_bytes() const { return used_; }
  std::size_t high_water_bytes() const { return high_water_; }
  std::size_t taken_bytes() const;  ///< all chunks, used or not; on a CPU the reservation

  struct LabelUse {
    std::string label;
    std::size_t bytes;
  };
  /// What each label held at the moment of the high water, largest first.
  std::vector<LabelUse> high_water_report() const;

  /// Fills every new allocation with NaN patterns, so that a read of unwritten memory shows. On a
  /// device in the order of `stream`, which must be the one that uses the memory.
  void poison(bool on, Stream stream = {}) {
    poison_ = on;
    poison_stream_ = stream;
  }

 private:
  struct Chunk {
    std::byte* base;
    std::size_t bytes;
    DeviceBuffer on_device;  // empty for host memory
  };
  struct Place {
    std::size_t chunk = 0, begin = 0;  // everything below is in use
  };
  struct Live {
    int label;
    Place before;  // where the top was
    std::size_t bytes;
  };
  void reserve_host();
  Place place_for(std::size_t bytes, std::string_view label);
  void add_chunk(std::size_t bytes, std::string_view label);
  std::string labels_in_use() const;
  Chunk take_chunk(std::size_t bytes, std::size_t usual) const;
  void release(std::size_t mark);
  int label_id(std::string_view label);

  std::string name_;
  Device device_;
  std::size_t alignment_;
  std::vector<Chunk> chunks_;
  Place top_;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
  std::size_t high_water_ = 0;
  bool poison_ = false;
  Stream poison_stream_;
  std::vector<Live> live_;
  std::vector<std::string> labels_;
  std::map<std::string, int, std::less<>> label_ids_;
  std::vector<std::size_t> label_bytes_;       // live bytes by label
  std::vector<std::size_t> high_water_bytes_;  // label_bytes_ as it was at the high water
};

}  // namespace mixspan
