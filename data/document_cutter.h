// Hands out a document that arrives piece by piece in parts of bounded size.
#pragma once

#include <cstddef>
#include <string>

#include "data/text_source.h"

namespace mixspan {

/// A part ends at the last safe place (last_safe_cut) within TextSource::kPartBytes, else at the
/// last one found by looking farther, else, after TextSource::kLongestWord, between two characters.
/// The parts depend on the text alone, not on the pieces it arrives in.
class DocumentCutter {
 public:
  void begin();                     ///< drops what is left of the document before
  std::string& incoming();          ///< append the document's next text here
  void finish() { whole_ = true; }  ///< all of it is here
  bool whole() const { return whole_; }

  /// Overwrites `part` with the next one; false while more text is needed, or when all was handed
  /// out.
  bool cut(TextPart& part);
  std::size_t words_cut() const { return words_cut_; }  ///< so far, over all documents

 private:
  void hand_out(TextPart& part, std::size_t bytes);

  std::string text_;
  std::size_t at_ = 0;        // the next part begins here
  std::size_t reach_ = 0;     // how far to look for a place to cut, from at_
  std::size_t searched_ = 0;  // no such place lies before this, from at_
  bool whole_ = false, began_ = false;
  std::size_t words_cut_ = 0;
};

}  // namespace mixspan
