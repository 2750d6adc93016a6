#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "experiments/report/chart.h"
#include "experiments/report/markup.h"
#include "experiments/report/svg.h"

namespace mixspan {

namespace {

/// Where things lie: names left, cells, values right, columns' names and the ramp below.
struct Layout {
  double left, cell_width, cell_height, top, bottom, height;
  std::size_t name_letters;

  Layout(const HeatMap& map, const FigureSize& size) : name_letters(size.narrow ? 16 : 40) {
    double names = 0, values = 0;
    for (const std::string& row : map.rows) {
      names = std::max(names, text_width(shortened(row, name_letters), 12));
    }
    for (const std::string& value : map.row_values) {
      values = std::max(values, text_width(value, 12));
    }
    values = std::max(values, text_width(map.value_label, 12) - 14);
    left = names + 10;
    const double room = size.width - left - (map.row_values.empty() ? 0 : values + 12);
    cell_width = std::min(34.0, room / static_cast<double>(map.columns.size()));
    cell_height = 20;
    top = map.row_values.empty() ? 4 : 22;
    bottom = top + cell_height * static_cast<double>(map.rows.size());
    height = bottom + 40 + (map.low_label.empty() ? 0 : 26);
  }
};

void add_columns(std::string& out, const HeatMap& map, const Layout& at) {
  double free_from = -1;
  for (std::size_t c = 0; c < map.columns.size(); ++c) {
    const double middle = at.left + (static_cast<double>(c) + 0.5) * at.cell_width;
    const double half = text_width(map.columns[c], 12) / 2;
    if (middle - half < free_from) continue;
    free_from = middle + half + 5;
    out += svg_text(middle, at.bottom + 16, "t mid", map.columns[c]);
  }
  out += svg_text(at.left, at.bottom + 33, "h", map.x_label);
}

void add_ramp(std::string& out, const HeatMap& map, const Layout& at) {
  const double y = at.height - 16;
  double x = at.left + text_width(map.low_label, 12) + 8;
  out += svg_text(at.left, y + 9, "t", map.low_label);
  for (int i = 0; i <= 8; ++i, x += 14) {
    out +=
        fmt::format(R"(<g class="{}"><rect class="p" x="{}" y="{}" width="14" height="11"/></g>)",
                    ramp_color(i / 8.0), px(x), px(y));
  }
  out += svg_text(x + 8, y + 9, "t", map.high_label);
}

}  // namespace

std::string to_svg(const HeatMap& map, const FigureSize& size, bool stand_alone) {
  check(map.cells.size() == map.rows.size() * map.columns.size() && !map.columns.empty(),
        "heat map: {} cells for {} x {}", map.cells.size(), map.rows.size(), map.columns.size());
  const Layout at(map, size);
  std::string out;
  const double gap = at.cell_width > 6 ? 1.5 : 0.3;
  const double cells_end = at.left + at.cell_width * static_cast<double>(map.columns.size());
  if (!map.row_values.empty()) out += svg_text(cells_end + 10, 13, "h", map.value_label);
  for (std::size_t r = 0; r < map.rows.size(); ++r) {
    const double y = at.top + static_cast<double>(r) * at.cell_height;
    out += "<g>";
    if (r < map.hints.size()) out += fmt::format("<title>{}</title>", escaped(map.hints[r]));
    out += svg_text(at.left - 8, y + 14, "end", shortened(map.rows[r], at.name_letters));
    for (std::size_t c = 0; c < map.columns.size(); ++c) {
      const std::string& color = map.cells[r * map.columns.size() + c];
      const double x = at.left + static_cast<double>(c) * at.cell_width;
      const std::string rect =
          fmt::format(R"(<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="2"/>)",
                      color.empty() ? "o" : "p", px(x + gap), px(y + 1.5),
                      px(at.cell_width - 2 * gap), px(at.cell_height - 3));
      out += color.empty() ? rect : fmt::format(R"(<g class="{}">{}</g>)", color, rect);
    }
    if (r < map.row_values.size()) {
      out += svg_text(cells_end + 10, y + 14, "", map.row_values[r]);
    }
    out += "</g>";
  }
  add_columns(out, map, at);
  if (!map.low_label.empty()) add_ramp(out, map, at);
  return svg_element(size.width, at.height, map.title, out, stand_alone);
}

}  // namespace mixspan
