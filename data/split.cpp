#include "data/split.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace mixspan {

namespace {

CorpusSplit split_one_document(const Corpus& corpus, double fraction) {
  const std::int64_t N = corpus.num_tokens();
  require(N >= 2, "{}: holds no text to split", corpus.path().string());
  const auto wanted = static_cast<std::int64_t>(std::llround(fraction * static_cast<double>(N)));
  const std::int64_t cut = N - std::clamp<std::int64_t>(wanted, 1, N - 1);
  return {.training = {{0, cut}}, .held_out = {{cut, N}}, .held_out_documents = 1};
}

void add(std::vector<TokenRange>& ranges, std::int64_t begin, std::int64_t end) {
  if (!ranges.empty() && ranges.back().end == begin) {
    ranges.back().end = end;
  } else {
    ranges.push_back({begin, end});
  }
}

}  // namespace

CorpusSplit split_corpus(const Corpus& corpus, double fraction) {
  check(fraction >= 0 && fraction < 1, "a held-out fraction of {}; wanted 0 <= fraction < 1",
        fraction);
  if (fraction == 0) return {.training = {{0, corpus.num_tokens()}}, .held_out = {}};
  if (corpus.num_documents() == 1) return split_one_document(corpus, fraction);

  const auto hash = [&](std::size_t d) {
    return static_cast<std::uint64_t>(corpus.document_hashes()[d]);
  };
  const auto documents = static_cast<std::size_t>(corpus.num_documents());
  std::uint64_t lowest = hash(0), highest = hash(0);
  for (std::size_t d = 1; d < documents; ++d) {
    lowest = std::min(lowest, hash(d));
    highest = std::max(highest, hash(d));
  }
  require(lowest != highest,
          "{}: its {} documents are one and the same text, so none can be held out; set "
          "data.eval_fraction to 0 or name another corpus in data.eval",
          corpus.path().string(), documents);
  const auto limit = static_cast<std::uint64_t>(fraction * 0x1p64);

  CorpusSplit split;
  for (std::size_t d = 0; d < documents; ++d) {
    const std::int64_t begin = corpus.document_offsets()[d];
    const std::int64_t end = corpus.document_offsets()[d + 1];
    const bool held_out = hash(d) == lowest || (hash(d) < limit && hash(d) != highest);
    add(held_out ? split.held_out : split.training, begin, end);
    split.held_out_documents += held_out ? 1 : 0;
  }
  return split;
}

}  // namespace mixspan
