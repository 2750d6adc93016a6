#include "data/word_cache.h"

#include <algorithm>

namespace mixspan {

WordCache::WordCache() : slots_(kSlots) {}

std::span<const std::int32_t> WordCache::find(std::string_view word, std::uint64_t hash) const {
  const Slot& slot = slots_[hash % kSlots];
  if (std::string_view(slot.word.data(), slot.bytes) != word) return {};
  return {slot.tokens.data(), slot.count};
}

void WordCache::store(std::string_view word, std::uint64_t hash,
                      std::span<const std::int32_t> tokens) {
  if (!keeps(word) || tokens.size() > kMaxTokens) return;
  Slot& slot = slots_[hash % kSlots];
  slot.bytes = static_cast<std::uint8_t>(word.size());
  slot.count = static_cast<std::uint8_t>(tokens.size());
  std::copy(word.begin(), word.end(), slot.word.begin());
  std::copy(tokens.begin(), tokens.end(), slot.tokens.begin());
}

}  // namespace mixspan
