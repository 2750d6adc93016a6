// The last operations of a rank, for the report of a hang.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>

#include "parallel/link.h"

namespace mixspan {

class History {
 public:
  using Clock = Transfer::Clock;
  static constexpr std::int64_t kKept = 32;

  /// Returns the number under which the operation is finished.
  std::int64_t begin(const std::string& axis, const Envelope& envelope, Clock::time_point when);
  void finish(std::int64_t number, std::int64_t bytes_sent, Clock::time_point when);
  /// One line for each, oldest first.
  std::string str() const;

 private:
  struct Entry {
    std::string axis;
    Envelope envelope;
    Clock::time_point begin, end;
    bool finished = false;
  };
  std::array<Entry, kKept> entries_;
  std::int64_t begun_ = 0;
};

}  // namespace mixspan
