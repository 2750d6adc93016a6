#include "experiments/report/markup.h"

#include <cctype>

#include "core/text.h"

namespace mixspan {

namespace {

bool starts_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

std::string clean(std::string_view text) {
  if (is_utf8(text)) return std::string(text);
  return one_line(text, 2 * text.size() + 4 * text.size());
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : clean(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        // SVG files are XML, which has no other control characters.
        out += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? ' ' : c;
    }
  }
  return out;
}

std::string slug(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!out.empty() && out.back() != '-') {
      out += '-';
    }
  }
  while (out.ends_with('-')) out.pop_back();
  return out;
}

double text_width(std::string_view text, double font_size) {
  double width = 0;
  for (const char c : text) {
    if (!starts_character(c)) continue;
    const bool thin = std::string_view("iljtf.,:;|'!()[] ").find(c) != std::string_view::npos;
    const bool wide = std::string_view("mwMW@%").find(c) != std::string_view::npos;
    const double normal = std::isupper(static_cast<unsigned char>(c)) != 0 ? 0.72 : 0.63;
    width += thin ? 0.39 : wide ? 0.98 : normal;
  }
  return width * font_size;
}

std::string shortened(std::string_view text, std::size_t most) {
  if (text.size() <= most || most < 5) return std::string(text);
  std::size_t head = most * 2 / 3, tail = text.size() - (most - head - 1);
  while (head > 0 && !starts_character(text[head])) --head;
  while (tail < text.size() && !starts_character(text[tail])) ++tail;
  return std::string(text.substr(0, head)) + "…" + std::string(text.substr(tail));
}

}  // namespace mixspan
