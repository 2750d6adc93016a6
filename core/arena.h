// Labelled bump allocator: the only source of memory inside a step.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"

namespace mixspan {

/// Reserves address space once and hands it out from the bottom; pages are touched when first used,
/// so a large reservation costs nothing. One thread allocates; any thread may use the memory.
class Arena {
 public:
  /// Reserves `capacity_bytes` of address space. `name` appears in errors and reports.
  explicit Arena(std::string name, std::size_t capacity_bytes = std::size_t{1} << 38);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Memory for a contiguous, 64-byte aligned tensor. NOT zeroed: a reader must have written it.
  /// Throws Error, naming the label and the bytes in use, when the reservation is exhausted.
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

  std::size_t used_bytes() const { return used_; }
  std::size_t high_water_bytes() const { return high_water_; }

  struct LabelUse {
    std::string label;
    std::size_t bytes;
  };
  /// What each label held at the moment of the high water, largest first.
  std::vector<LabelUse> high_water_report() const;

  /// Fills every new allocation with NaN patterns, so that a read of unwritten memory shows.
  void poison(bool on) { poison_ = on; }

 private:
  struct Live {
    int label;
    std::size_t begin, bytes;
  };
  void release(std::size_t mark);
  int label_id(std::string_view label);

  std::string name_;
  std::byte* base_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
  std::size_t high_water_ = 0;
  bool poison_ = false;
  std::vector<Live> live_;
  std::vector<std::string> labels_;
  std::map<std::string, int, std::less<>> label_ids_;
  std::vector<std::size_t> label_bytes_;       // live bytes by label
  std::vector<std::size_t> high_water_bytes_;  // label_bytes_ as it was at the high water
};

}  // namespace mixspan
