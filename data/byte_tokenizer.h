// Every byte is a token.
#pragma once

#include "data/special_splitter.h"
#include "data/tokenizer.h"

namespace mixspan {

class ByteTokenizer : public Tokenizer {
 public:
  ByteTokenizer();
  std::vector<std::int32_t> encode(std::string_view text, SpecialTokens special) const override;
  std::string decode(std::span<const std::int32_t> ids) const override;
  std::int64_t vocab_size() const override { return 257; }
  std::int32_t end_of_text() const override { return 256; }
  std::string name() const override { return "byte"; }
  std::string to_json() const override { return R"({"mixspan_tokenizer":"byte"})"; }

 private:
  SpecialSplitter specials_;
};

/// The BPE without merges that gives the same tokens, for programs that know only BPE.
BpeModel byte_bpe_model();

}  // namespace mixspan
