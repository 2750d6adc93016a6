#include "experiments/report/page.h"

#include <fmt/format.h>

#include "experiments/report/markup.h"

namespace mixspan {

std::string figure_html(const Figure& figure) {
  return fmt::format(
      "<figure id=\"{}\"><h3>{}</h3><div class=\"wide\">{}</div><div class=\"narrow\">{}</div>"
      "<figcaption>{}</figcaption></figure>\n",
      slug(figure.title), escaped(figure.title), to_svg(figure, kWide), to_svg(figure, kNarrow),
      escaped(figure.caption));
}

std::string to_html(const Page& page) {
  std::string nav, body;
  for (const PageSection& section : page.sections) {
    const std::string id = slug(section.title);
    nav += fmt::format("<a href=\"#{}\">{}</a>", id, escaped(section.title));
    body += fmt::format("<section id=\"{}\">\n<h2>{}</h2>\n{}</section>\n", id,
                        escaped(section.title), section.html);
  }
  // The policy lets nothing be fetched, whatever a run's names or errors may hold.
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n"
      "<title>{}</title>\n<style "
      "id=\"of-figures\">{}</style><style>{}</style>\n</head>\n<body>\n<header>\n<h1>{}</h1>\n{}"
      "<nav>{}</nav>\n</header>\n<main>\n{}</main>\n<script>{}</script>\n</body>\n</html>\n",
      escaped(page.title), figure_style(), page_style(), escaped(page.title), page.lead, nav, body,
      page_script());
}

}  // namespace mixspan
