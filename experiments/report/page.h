// The HTML around a report's sections: one file, nothing from elsewhere.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "experiments/report/figures.h"

namespace mixspan {

struct PageSection {
  std::string title;  ///< heading; also its anchor
  std::string html;
};

struct Page {
  std::string title;
  std::string lead;  ///< HTML under the title
  std::vector<PageSection> sections;
};
std::string to_html(const Page&);

/// A figure with its heading and caption, drawn for wide and for narrow screens.
std::string figure_html(const Figure&);

/// The page's own style and script, apart from that of figures.
std::string_view page_style();
std::string_view page_script();

}  // namespace mixspan
