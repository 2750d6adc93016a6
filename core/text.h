// Small questions about text, for messages and names.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mixspan {

/// Whether `text` is well-formed UTF-8 (RFC 3629: no surrogates, nothing overlong).
bool is_utf8(std::string_view text);

/// `text` as one printable line of UTF-8 for a message: control characters and broken bytes are
/// shown as \xNN; beyond about `max_bytes` it is cut and ends in "...".
std::string one_line(std::string_view text, std::size_t max_bytes = 80);

/// Fewest insertions, deletions, substitutions and swaps of neighbours that turn a into b.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace mixspan
