#include "data/document_cutter.h"

#include <string_view>

#include "data/text_cuts.h"

namespace mixspan {

void DocumentCutter::begin() {
  text_.clear();
  at_ = searched_ = 0;
  reach_ = TextSource::kPartBytes;
  whole_ = began_ = false;
}

std::string& DocumentCutter::incoming() {
  text_.erase(0, at_);
  at_ = 0;
  return text_;
}

bool DocumentCutter::cut(TextPart& part) {
  for (;;) {
    const std::size_t left = text_.size() - at_;
    if (left <= reach_) {
      if (!whole_ || left == 0) return false;
      hand_out(part, left);
      return true;
    }
    const std::string_view ahead = std::string_view(text_).substr(at_, reach_);
    std::size_t end = last_safe_cut(ahead, searched_);
    if (end == std::string_view::npos && reach_ >= TextSource::kLongestWord) {
      end = last_character_cut(ahead);
      ++words_cut_;
    }
    if (end != std::string_view::npos) {
      hand_out(part, end);
      return true;
    }
    searched_ = reach_;
    reach_ += TextSource::kPartBytes;
  }
}

void DocumentCutter::hand_out(TextPart& part, std::size_t bytes) {
  part.text.assign(text_, at_, bytes);
  at_ += bytes;
  part.first = !began_;
  part.last = whole_ && at_ == text_.size();
  began_ = true;
  reach_ = TextSource::kPartBytes;
  searched_ = 0;
}

}  // namespace mixspan
