// Which keys a query may read. Query i reads key j iff lo(i) <= j <= i; every mask, tile range,
// FLOP count, exchange plan and test oracle derives from lo().
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace mixspan {

/// Every earlier key.
struct FullSpan {
  constexpr std::int64_t lo(std::int64_t) const { return 0; }
  friend bool operator==(FullSpan, FullSpan) = default;
};

/// The last `window` keys, the query's own included (GPT-Neo's local layer; FlashAttention's
/// window_left = window - 1).
struct SlidingSpan {
  std::int64_t window;
  constexpr std::int64_t lo(std::int64_t i) const {
    return std::max<std::int64_t>(0, i - window + 1);
  }
  friend bool operator==(SlidingSpan, SlidingSpan) = default;
};

/// The keys of the query's own block and of `previous` blocks (0 or 1) before it.
struct BlockSpan {
  std::int64_t block;
  std::int64_t previous = 0;
  constexpr std::int64_t lo(std::int64_t i) const {
    return std::max<std::int64_t>(0, (i / block - previous) * block);
  }
  friend bool operator==(BlockSpan, BlockSpan) = default;
};

/// A span chosen at run time.
class AnySpan {
 public:
  AnySpan() : span_(FullSpan{}) {}
  AnySpan(FullSpan s) : span_(s) {}     // NOLINT
  AnySpan(SlidingSpan s) : span_(s) {}  // NOLINT
  AnySpan(BlockSpan s) : span_(s) {}    // NOLINT

  std::int64_t lo(std::int64_t i) const {
    return std::visit([i](const auto& s) { return s.lo(i); }, span_);
  }
  bool allows(std::int64_t i, std::int64_t j) const { return lo(i) <= j && j <= i; }
  bool is_full() const { return std::holds_alternative<FullSpan>(span_); }
  template <class Visitor>
  decltype(auto) visit(Visitor&& visitor) const {
    return std::visit(std::forward<Visitor>(visitor), span_);
  }

  /// The longest distance any query looks back within T tokens (0: only itself): what a key/value
  /// cache or a halo must hold besides the query's own row.
  std::int64_t max_lookback(std::int64_t T) const;
  /// Visible (query, key) pairs of a sequence of T tokens.
  std::int64_t pairs(std::int64_t T) const;
  std::string str() const;  ///< "full", "sliding:256", "block:512", "block-prev:512"
  friend bool operator==(const AnySpan&, const AnySpan&) = default;

 private:
  std::variant<FullSpan, SlidingSpan, BlockSpan> span_;
};

/// Reads "full", "sliding:W", "block:B", "block-prev:B"; throws InputError that says what would
/// work.
AnySpan parse_span(std::string_view text);

}  // namespace mixspan
