// From text to a corpus.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "core/thread_pool.h"
#include "data/text_source.h"

namespace mixspan {

class Tokenizer;

struct PrepareSummary {
  TextCounts text;
  std::int64_t documents = 0;
  std::int64_t tokens = 0;  ///< without the end-of-text tokens between documents
  std::int64_t bytes = 0;   ///< of text
  double seconds = 0;
};

struct PrepareProgress {
  double fraction = 0;  ///< of the inputs' bytes on disk
  std::int64_t documents = 0, tokens = 0, bytes = 0;
  double seconds = 0;
};

/// Tokenizes `inputs` into the corpus `out`. Memory is bounded, whatever the size of the inputs
/// (with a tokenizer that cannot encode in parts: of all inputs but the longest document);
/// the file's bytes do not depend on the number of threads. An existing corpus `out` is replaced at
/// the end, and untouched when anything fails. `progress` is called now and then from the calling
/// thread; it may be empty.
PrepareSummary prepare(const std::vector<std::filesystem::path>& inputs,
                       const std::filesystem::path& out, const Tokenizer& tokenizer,
                       ThreadPool& threads,
                       const std::function<void(const PrepareProgress&)>& progress = {});

}  // namespace mixspan
