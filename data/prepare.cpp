#include "data/prepare.h"

#include <algorithm>
#include <chrono>

#include "core/error.h"
#include "data/corpus.h"
#include "data/tokenizer.h"

namespace mixspan {

namespace {

// Parts in flight for each thread: enough that none waits long for the slowest.
constexpr int kPartsPerThread = 4;
// A batch ends here even if its parts are small, so that progress shows and memory stays bounded.
constexpr std::size_t kMostParts = 65536;

// Bytes of text that each id stands for; 0 for ids that stand for none.
std::vector<std::int32_t> token_sizes(const Tokenizer& tokenizer) {
  std::vector<std::int32_t> sizes(static_cast<std::size_t>(tokenizer.vocab_size()));
  for (std::int32_t id = 0; id < std::ssize(sizes); ++id) {
    if (id == tokenizer.end_of_text()) continue;
    try {
      sizes[static_cast<std::size_t>(id)] =
          static_cast<std::int32_t>(tokenizer.decode(std::span(&id, 1)).size());
    } catch (const Error&) {
      continue;  // a hole in the vocabulary
    }
  }
  return sizes;
}

struct Parts {
  std::vector<TextPart> parts;
  std::vector<std::vector<std::int32_t>> tokens;  // one for each part
  std::size_t used = 0;
};

// Overwrites the batch with the next parts, or with whole documents; false where there are none.
bool read_parts(TextSource& source, int threads, bool whole_documents, Parts& batch) {
  const std::size_t enough =
      static_cast<std::size_t>(threads * kPartsPerThread) * TextSource::kPartBytes;
  std::size_t bytes = 0;
  batch.used = 0;
  while (bytes < enough && batch.used < kMostParts) {
    if (batch.used == batch.parts.size()) batch.parts.emplace_back();
    TextPart& part = batch.parts[batch.used];
    if (!source.next(part)) break;
    for (TextPart more; whole_documents && !part.last && source.next(more);) {
      part.text += more.text;
      part.last = more.last;
    }
    bytes += part.text.size();
    ++batch.used;
  }
  batch.tokens.resize(batch.used);
  return batch.used > 0;
}

}  // namespace

PrepareSummary prepare(const std::vector<std::filesystem::path>& inputs,
                       const std::filesystem::path& out, const Tokenizer& tokenizer,
                       ThreadPool& threads,
                       const std::function<void(const PrepareProgress&)>& progress) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };

  TextSource source(inputs);
  CorpusWriter writer(out, {.tokenizer_json = tokenizer.to_json(),
                            .tokenizer_name = tokenizer.name(),
                            .vocab_size = tokenizer.vocab_size(),
                            .end_of_text = tokenizer.end_of_text(),
                            .num_bytes = token_sizes(tokenizer)});
  PrepareSummary summary;
  Parts batch;
  while (read_parts(source, threads.size(), !tokenizer.encodes_in_parts(), batch)) {
    threads.for_each(static_cast<std::int64_t>(batch.used), [&](std::int64_t i, int) {
      const auto at = static_cast<std::size_t>(i);
      batch.tokens[at] = tokenizer.encode(batch.parts[at].text, SpecialTokens::as_text);
    });
    for (std::size_t i = 0; i < batch.used; ++i) {
      const TextPart& part = batch.parts[i];
      if (part.first) writer.begin_document();
      writer.append(batch.tokens[i], part.text);
      if (part.last) writer.end_document();
      summary.documents += part.last ? 1 : 0;
      summary.tokens += std::ssize(batch.tokens[i]);
      summary.bytes += std::ssize(part.text);
    }
    if (progress) {
      const double of = static_cast<double>(std::max<std::int64_t>(1, source.input_bytes()));
      progress({static_cast<double>(source.bytes_read()) / of, summary.documents, summary.tokens,
                summary.bytes, seconds()});
    }
  }
  writer.finish();
  summary.text = source.counts();
  summary.seconds = seconds();
  return summary;
}

}  // namespace mixspan
