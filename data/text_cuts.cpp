#include "data/text_cuts.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <cstdint>

namespace mixspan {

namespace {

bool is_ascii_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// The code point that ends right before text[end], or a negative number.
UChar32 character_before(std::string_view text, std::size_t end) {
  // U8_PREV wants 32-bit places; four bytes hold any character.
  const std::size_t begin = end - std::min<std::size_t>(end, 4);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data() + begin);
  auto at = static_cast<std::int32_t>(end - begin);
  UChar32 c = -1;
  U8_PREV(bytes, 0, at, c);
  return c;
}

}  // namespace

std::size_t last_safe_cut(std::string_view text, std::size_t from) {
  for (std::size_t p = text.size(); p-- > std::max<std::size_t>(from, 1);) {
    if (!is_ascii_space(text[p])) continue;
    const UChar32 c = character_before(text, p);
    if (c > ' ' && !u_iscntrl(c) && !u_isUWhiteSpace(c)) return p;
  }
  return std::string_view::npos;
}

std::size_t last_character_cut(std::string_view text) {
  std::size_t start = text.size();
  while (start > 0 && text.size() - start < 4 && U8_IS_TRAIL(text[start - 1])) --start;
  if (start == 0) return text.size();
  const auto lead = static_cast<std::uint8_t>(text[start - 1]);
  if (!U8_IS_LEAD(lead)) return text.size();
  const std::size_t length = 1 + static_cast<std::size_t>(U8_COUNT_TRAIL_BYTES(lead));
  return start - 1 + length <= text.size() ? text.size() : start - 1;
}

}  // namespace mixspan
