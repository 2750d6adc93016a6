// Finds spelt-out tokens in text, before words are split.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "data/bpe_model.h"
#include "data/tokenizer.h"

namespace mixspan {

/// As Hugging Face's added vocabulary does it: two passes, first the tokens that are not
/// `normalized`, each from the left, the longest where several start.
class SpecialSplitter {
 public:
  explicit SpecialSplitter(const std::vector<AddedToken>& tokens);

  struct Piece {
    std::string_view text;
    std::int32_t id;  ///< the token that the text spells, or -1: plain text
  };
  /// The pieces, none empty, in order are the whole text.
  std::vector<Piece> split(std::string_view text, SpecialTokens special) const;

 private:
  struct Pass {
    /// By first byte; the longest first.
    std::array<std::vector<AddedToken>, 256> tokens;
    bool empty = true;
  };
  static void run_pass(const Pass& pass, std::string_view text, SpecialTokens special,
                       std::vector<Piece>& pieces);

  std::array<Pass, 2> passes_;
};

}  // namespace mixspan
