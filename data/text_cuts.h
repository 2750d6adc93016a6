// Where a text may be cut.
#pragma once

#include <cstddef>
#include <string_view>

namespace mixspan {

/// The last place p in [from, text.size()) where text[p] is ASCII white space behind a whole
/// character that is neither white space nor a control; npos where there is none. GPT-2's splitter
/// never makes one piece of what lies on both sides: only its white-space pieces can begin with
/// text[p], and none of its pieces goes on from other characters into white space.
std::size_t last_safe_cut(std::string_view text, std::size_t from);

/// The largest p <= text.size() that does not cut a UTF-8 character in two; text.size() where the
/// end of `text` is no UTF-8.
std::size_t last_character_cut(std::string_view text);

}  // namespace mixspan
