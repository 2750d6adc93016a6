// The tokenizer of GPT-2, GPT-Neo and of what `mixspan tokenizer train` makes.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "data/bpe_merger.h"
#include "data/bpe_model.h"
#include "data/special_splitter.h"
#include "data/tokenizer.h"
#include "data/word_cache.h"
#include "data/word_splitter.h"

namespace mixspan {

class BpeTokenizer : public Tokenizer {
 public:
  explicit BpeTokenizer(BpeModel model);

  std::vector<std::int32_t> encode(std::string_view text, SpecialTokens special) const override;
  bool encodes_in_parts() const override;
  std::string decode(std::span<const std::int32_t> ids) const override;
  std::int64_t vocab_size() const override { return static_cast<std::int64_t>(bytes_.size()); }
  std::int32_t end_of_text() const override { return model_.end_of_text; }
  std::string name() const override;
  std::string to_json() const override { return bpe_model_to_json(model_); }

 private:
  void encode_words(std::string_view text, WordCache& cache, std::vector<std::int32_t>& out) const;
  std::unique_ptr<WordCache> take_cache() const;
  void give_back(std::unique_ptr<WordCache> cache) const;

  BpeModel model_;
  BpeMerger merger_;
  WordSplitter words_;
  SpecialSplitter specials_;
  std::vector<std::string> bytes_;  ///< by id; empty: no token has the id
  mutable std::mutex mutex_;        ///< over idle_caches_
  /// One for each encode() that ever ran at the same time as others.
  mutable std::vector<std::unique_ptr<WordCache>> idle_caches_;
};

}  // namespace mixspan
