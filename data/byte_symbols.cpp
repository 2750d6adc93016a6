#include "data/byte_symbols.h"

#include <unicode/utf8.h>

#include <algorithm>
#include <numeric>

namespace mixspan {

ByteSymbols::ByteSymbols() {
  byte_of_point_.fill(-1);
  std::uint32_t next = 0x100;
  for (std::uint32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    const std::uint32_t point = printable ? b : next++;
    points_[b] = point;
    byte_of_point_[point] = static_cast<std::int16_t>(b);
    std::array<char, U8_MAX_LENGTH> utf8;
    std::size_t length = 0;
    U8_APPEND_UNSAFE(utf8.data(), length, point);
    symbols_[b].assign(utf8.data(), length);
  }
}

std::string ByteSymbols::spell(std::string_view bytes) const {
  std::string spelling;
  for (const char b : bytes) spelling += symbols_[static_cast<std::uint8_t>(b)];
  return spelling;
}

std::string ByteSymbols::bytes(std::string_view spelling) const {
  std::string out;
  const char* const text = spelling.data();
  const std::size_t size = spelling.size();
  for (std::size_t i = 0; i < size;) {
    UChar32 point = 0;
    U8_NEXT(text, i, size, point);
    const auto index = static_cast<std::size_t>(point);
    if (point < 0 || index >= byte_of_point_.size() || byte_of_point_[index] < 0) {
      return std::string(spelling);
    }
    out += static_cast<char>(byte_of_point_[index]);
  }
  return out;
}

std::array<std::uint8_t, 256> ByteSymbols::in_symbol_order() const {
  std::array<std::uint8_t, 256> order;
  std::iota(order.begin(), order.end(), std::uint8_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::uint8_t a, std::uint8_t b) { return points_[a] < points_[b]; });
  return order;
}

}  // namespace mixspan
