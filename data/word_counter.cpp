#include "data/word_counter.h"

#include "core/hash.h"
#include "data/word_splitter.h"

namespace mixspan {

std::size_t StringHash::operator()(std::string_view s) const {
  return static_cast<std::size_t>(xxh3_64(s.data(), s.size()));
}

WordCounts count_words(const TextPieces& next) {
  const WordSplitter splitter;
  WordCounts counts;
  for (std::string piece; next(piece);) {
    const std::string_view text = piece;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = splitter.word_end(text, begin);
      const std::string_view word = text.substr(begin, end - begin);
      begin = end;
      const auto found = counts.find(word);
      if (found == counts.end()) {
        counts.emplace(word, 1);
      } else {
        ++found->second;
      }
    }
  }
  return counts;
}

}  // namespace mixspan
