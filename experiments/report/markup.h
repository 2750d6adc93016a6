// Text that goes into HTML and SVG.
#pragma once

#include <string>
#include <string_view>

namespace mixspan {

/// Safe as content and as a quoted attribute; broken UTF-8 and control characters are shown as
/// \xNN. Line ends stay.
std::string escaped(std::string_view text);

/// Letters, digits and "-" only, for names of files and anchors: "Loss by position" ->
/// "loss-by-position".
std::string slug(std::string_view text);

/// Pixels that `text` takes in the page's font, about.
double text_width(std::string_view text, double font_size);

/// At most `most` characters, the middle replaced by an ellipsis.
std::string shortened(std::string_view text, std::size_t most);

}  // namespace mixspan
