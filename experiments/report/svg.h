// The few elements that figures are written with.
#pragma once

#include <string>
#include <string_view>

namespace mixspan {

/// A coordinate with a tenth of a pixel: "12.5", "12". Not a number is "0".
std::string px(double value);

/// `css`: classes, "mid" and "end" say what of the text is at x.
std::string svg_text(double x, double y, std::string_view css, std::string_view text);

/// The whole figure: `title` for those who cannot see it, `body` what is drawn.
std::string svg_element(double width, double height, std::string_view title, std::string_view body,
                        bool stand_alone);

}  // namespace mixspan
