#include "data/byte_tokenizer.h"

#include "core/error.h"
#include "data/byte_symbols.h"

namespace mixspan {

namespace {

constexpr std::int32_t kEnd = 256;

}  // namespace

BpeModel byte_bpe_model() {
  const ByteSymbols symbols;
  BpeParts parts;
  for (int b = 0; b < 256; ++b) {
    parts.vocab.emplace_back(symbols.symbol(static_cast<std::uint8_t>(b)), b);
  }
  parts.vocab.emplace_back(kEndOfText, kEnd);
  parts.added.push_back({kEnd, std::string(kEndOfText), true, false});
  return make_bpe_model(parts, "bytes");
}

ByteTokenizer::ByteTokenizer() : specials_({{kEnd, std::string(kEndOfText), true, false}}) {}

std::vector<std::int32_t> ByteTokenizer::encode(std::string_view text,
                                                SpecialTokens special) const {
  std::vector<std::int32_t> out;
  out.reserve(text.size());
  for (const SpecialSplitter::Piece& piece : specials_.split(text, special)) {
    if (piece.id >= 0) {
      out.push_back(piece.id);
      continue;
    }
    for (const char c : piece.text) out.push_back(static_cast<std::uint8_t>(c));
  }
  return out;
}

std::string ByteTokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  for (const std::int32_t id : ids) {
    check(id >= 0 && id <= kEnd, "no token has the id {}: the byte tokenizer has 0..{}", id, kEnd);
    if (id == kEnd) {
      text += kEndOfText;
    } else {
      text += static_cast<char>(id);
    }
  }
  return text;
}

std::unique_ptr<Tokenizer> make_byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

}  // namespace mixspan
