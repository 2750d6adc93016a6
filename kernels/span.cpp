#include "kernels/span.h"

#include <charconv>

#include "core/error.h"

namespace mixspan {

std::int64_t AnySpan::max_lookback(std::int64_t T) const {
  std::int64_t longest = 0;
  // A span's lookback repeats with its block or stays constant past its window; walking T is only
  // done for plans and caches, once a layer.
  for (std::int64_t i = 0; i < T; ++i) longest = std::max(longest, i - lo(i));
  return longest;
}

std::int64_t AnySpan::pairs(std::int64_t T) const {
  std::int64_t n = 0;
  for (std::int64_t i = 0; i < T; ++i) n += i - lo(i) + 1;
  return n;
}

std::string AnySpan::str() const {
  if (const auto* s = std::get_if<SlidingSpan>(&span_)) return fmt::format("sliding:{}", s->window);
  if (const auto* s = std::get_if<BlockSpan>(&span_)) {
    return fmt::format("block{}:{}", s->previous ? "-prev" : "", s->block);
  }
  return "full";
}

AnySpan parse_span(std::string_view text) {
  if (text == "full") return FullSpan{};
  const std::size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  if (kind == "sliding" || kind == "block" || kind == "block-prev") {
    std::int64_t n = 0;
    const std::string_view digits =
        colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
    require(error == std::errc{} && end == digits.data() + digits.size() && n >= 1,
            "span \"{}\": wanted {}:N with N a whole number of tokens, 1 or more", text, kind);
    if (kind == "sliding") return SlidingSpan{n};
    return BlockSpan{n, kind == "block-prev" ? 1 : 0};
  }
  refuse("span \"{}\": wanted full, sliding:W, block:B or block-prev:B", text);
}

}  // namespace mixspan
