#include "data/bpe_trainer.h"

#include <array>
#include <optional>

#include "core/error.h"
#include "data/bpe_model.h"
#include "data/byte_symbols.h"
#include "data/pair_index.h"
#include "data/word_counter.h"

namespace mixspan {

namespace {

constexpr std::int64_t kFirstMerged = 257;  // after the bytes and the end of text

}  // namespace

std::string train_bpe(const TextPieces& next, std::int64_t vocab_size) {
  require(vocab_size >= kFirstMerged,
          "a vocabulary of {} tokens: wanted at least 257, the 256 bytes and the end of text",
          vocab_size);
  const ByteSymbols symbols;
  BpeParts parts;
  std::array<std::int32_t, 256> byte_ids;
  for (const std::uint8_t byte : symbols.in_symbol_order()) {
    byte_ids[byte] = static_cast<std::int32_t>(parts.vocab.size());
    parts.vocab.emplace_back(symbols.symbol(byte), byte_ids[byte]);
  }
  const auto end_of_text = static_cast<std::int32_t>(parts.vocab.size());
  parts.vocab.emplace_back(kEndOfText, end_of_text);
  parts.added.push_back({end_of_text, std::string(kEndOfText), true, false});

  boost::unordered_flat_map<std::string, std::int32_t> ids;
  for (const auto& [spelling, id] : parts.vocab) ids[spelling] = static_cast<std::int32_t>(id);
  PairIndex pairs(count_words(next), byte_ids);
  while (static_cast<std::int64_t>(parts.vocab.size()) < vocab_size) {
    const std::optional<SymbolPair> best = pairs.most_frequent();
    require(
        best.has_value(),
        "the text has pairs that occur twice for {} tokens only, not for {}; ask for that many, "
        "or give more text",
        parts.vocab.size(), vocab_size);
    const std::string& left = parts.vocab[static_cast<std::size_t>(best->left)].first;
    const std::string& right = parts.vocab[static_cast<std::size_t>(best->right)].first;
    parts.merges.emplace_back(left, right);
    // Two pairs may spell one token; it keeps its first id.
    const auto size = static_cast<std::int32_t>(parts.vocab.size());
    const auto [found, is_new] = ids.emplace(left + right, size);
    if (is_new) parts.vocab.emplace_back(found->first, size);
    pairs.merge(*best, found->second);
  }
  return bpe_model_to_json(make_bpe_model(parts, "the trained tokenizer"));
}

}  // namespace mixspan
