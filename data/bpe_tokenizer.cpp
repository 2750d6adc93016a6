#include "data/bpe_tokenizer.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "data/byte_symbols.h"
#include "data/text_cuts.h"

namespace mixspan {

BpeTokenizer::BpeTokenizer(BpeModel model)
    : model_(std::move(model)),
      merger_(model_),
      specials_(model_.added),
      bytes_(static_cast<std::size_t>(model_.vocab_size())) {
  const ByteSymbols symbols;
  for (std::size_t id = 0; id < model_.spelling.size(); ++id) {
    bytes_[id] = symbols.bytes(model_.spelling[id]);
  }
  for (const AddedToken& token : model_.added) {
    bytes_[static_cast<std::size_t>(token.id)] = token.content;
  }
}

std::vector<std::int32_t> BpeTokenizer::encode(std::string_view text, SpecialTokens special) const {
  std::vector<std::int32_t> out;
  out.reserve(text.size() / 4 + 16);
  std::unique_ptr<WordCache> cache = take_cache();
  for (const SpecialSplitter::Piece& piece : specials_.split(text, special)) {
    if (piece.id >= 0) {
      out.push_back(piece.id);
    } else {
      encode_words(piece.text, *cache, out);
    }
  }
  give_back(std::move(cache));
  return out;
}

void BpeTokenizer::encode_words(std::string_view text, WordCache& cache,
                                std::vector<std::int32_t>& out) const {
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = words_.word_end(text, begin);
    const std::string_view word = text.substr(begin, end - begin);
    begin = end;
    if (!WordCache::keeps(word)) {
      merger_.merge(word, out);
      continue;
    }
    const std::uint64_t hash = xxh3_64(word.data(), word.size());
    const auto known = cache.find(word, hash);
    if (!known.empty()) {
      out.insert(out.end(), known.begin(), known.end());
      continue;
    }
    const std::size_t first = out.size();
    merger_.merge(word, out);
    cache.store(word, hash, std::span(out).subspan(first));
  }
}

std::unique_ptr<WordCache> BpeTokenizer::take_cache() const {
  const std::lock_guard lock(mutex_);
  if (idle_caches_.empty()) return std::make_unique<WordCache>();
  std::unique_ptr<WordCache> cache = std::move(idle_caches_.back());
  idle_caches_.pop_back();
  return cache;
}

void BpeTokenizer::give_back(std::unique_ptr<WordCache> cache) const {
  const std::lock_guard lock(mutex_);
  idle_caches_.push_back(std::move(cache));
}

// The splitter never joins what lies on both sides of a safe cut; only an added token can.
bool BpeTokenizer::encodes_in_parts() const {
  return std::none_of(model_.added.begin(), model_.added.end(), [](const AddedToken& token) {
    return last_safe_cut(token.content, 0) != std::string_view::npos;
  });
}

std::string BpeTokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  for (const std::int32_t id : ids) {
    check(id >= 0 && id < vocab_size() && !bytes_[static_cast<std::size_t>(id)].empty(),
          "no token has the id {} in the vocabulary of {} tokens", id, vocab_size());
    text += bytes_[static_cast<std::size_t>(id)];
  }
  return text;
}

std::string BpeTokenizer::name() const { return fmt::format("bpe:{}", vocab_size()); }

}  // namespace mixspan
