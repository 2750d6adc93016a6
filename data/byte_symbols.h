// GPT-2's spelling of arbitrary bytes by printable characters, as vocab.json and merges.txt use it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace mixspan {

/// Bytes that Latin-1 prints stand for themselves; the other 68, in order, for U+0100 on.
class ByteSymbols {
 public:
  ByteSymbols();
  /// UTF-8 of the byte's symbol.
  const std::string& symbol(std::uint8_t byte) const { return symbols_[byte]; }
  /// The bytes by their symbols.
  std::string spell(std::string_view bytes) const;
  /// The bytes that a spelling stands for. A string with any other character in it stands for
  /// itself, as in Hugging Face's decoder.
  std::string bytes(std::string_view spelling) const;
  /// Bytes in the order of their symbols, which is the order of GPT-2's first 256 ids.
  std::array<std::uint8_t, 256> in_symbol_order() const;

 private:
  std::array<std::uint32_t, 256> points_;
  std::array<std::string, 256> symbols_;
  std::array<std::int16_t, 512> byte_of_point_;  ///< -1: not a symbol
};

}  // namespace mixspan
