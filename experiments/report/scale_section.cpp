#include "experiments/report/scale_section.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "experiments/report/markup.h"
#include "experiments/run/progress.h"

namespace mixspan {

namespace {

using Kind = ScaleRow::Kind;

// Variants are settings, KEY=VALUE after KEY=VALUE: the keys' last words are enough for people.
std::string label_of(const std::string& variant) {
  std::string label;
  for (std::size_t begin = 0; begin < variant.size();) {
    const std::size_t comma = std::min(variant.find(", ", begin), variant.size());
    const std::string part = variant.substr(begin, comma - begin);
    const std::size_t equals = std::min(part.find('='), part.size());
    const std::size_t dot = part.rfind('.', equals);
    label += (label.empty() ? "" : ", ") + part.substr(dot == std::string::npos ? 0 : dot + 1);
    begin = comma + 2;
  }
  std::erase(label, '"');
  return label;
}

std::vector<std::string> variants_of(const ScaleSummary& s) {
  std::vector<std::string> variants;
  for (const ScaleRow& row : s.rows) {
    if (std::find(variants.begin(), variants.end(), row.variant) == variants.end()) {
      variants.push_back(row.variant);
    }
  }
  return variants;
}

ChartPoint point_of(const ScaleRow& row) {
  return {static_cast<double>(row.context),
          row.step_ms,
          row.low_ms,
          row.high_ms,
          "",
          fmt::format("{}: {:.1f} ms, {}", row.run, row.step_ms, name_of(row.kind))};
}

// Three series of one colour: what was measured, what it leads to, what the plan said.
void add_variant(const ScaleSummary& s, const std::string& variant, const std::string& color,
                 Chart& chart) {
  ChartSeries measured{.name = label_of(variant), .color = color, .marks = true};
  ChartSeries beyond{.name = "", .color = color, .dashed = true, .marks = true};
  ChartSeries plan{.name = "", .color = "dim", .dashed = true};
  std::vector<const ScaleRow*> rows;
  for (const ScaleRow& row : s.rows) {
    if (row.variant == variant) rows.push_back(&row);
  }
  std::sort(rows.begin(), rows.end(),
            [](const ScaleRow* a, const ScaleRow* b) { return a->context < b->context; });
  for (const ScaleRow* row : rows) {
    const double context = static_cast<double>(row->context);
    plan.points.push_back({context, row->plan_step_ms});
    if (row->kind == Kind::measured) measured.points.push_back(point_of(*row));
    if (row->kind == Kind::extrapolated) {
      if (beyond.points.empty() && !measured.points.empty()) {
        const ChartPoint& last = measured.points.back();
        beyond.points.push_back({last.x, last.y});
      }
      beyond.points.push_back(point_of(*row));
    }
  }
  chart.series.push_back(std::move(plan));
  if (!beyond.points.empty()) chart.series.push_back(std::move(beyond));
  chart.series.push_back(std::move(measured));
}

std::string number(double value, const char* unit = "") {
  if (!std::isfinite(value)) return "<td data-v=\"\">–</td>";
  return fmt::format("<td data-v=\"{}\">{:.{}f}{}</td>", value, value, value < 100 ? 1 : 0, unit);
}

std::string bytes(const std::optional<std::int64_t>& value) {
  if (!value) return "<td data-v=\"\">–</td>";
  return fmt::format("<td data-v=\"{}\">{}</td>", *value, human_bytes(*value));
}

std::optional<std::int64_t> sent_in_all(const ScaleRow& row) {
  if (!row.comm_bytes) return std::nullopt;
  return row.comm_bytes->dp + row.comm_bytes->cp + row.comm_bytes->tp;
}

std::string parts_of(const ScaleRow& row) {
  if (!row.parts) return std::string("<td></td><td></td><td></td><td></td><td></td>");
  const StepParts& p = *row.parts;
  const double all = p.matmul + p.full_attention + p.short_attention + p.communication + p.rest;
  std::string out;
  for (const double part :
       {p.matmul, p.full_attention, p.short_attention, p.communication, p.rest}) {
    out += fmt::format("<td data-v=\"{}\">{:.0f}&#8201;%</td>", part / all, 100 * part / all);
  }
  return out;
}

std::string row_html(const ScaleRow& row) {
  std::string kind(row.kind == Kind::waiting ? "not run yet" : name_of(row.kind));
  if (!row.of_variant) kind += " by all runs";
  return "<tr><td class=\"x\">" + escaped(label_of(row.variant)) + "</td>" +
         fmt::format("<td data-v=\"{}\">{}</td>", row.context, row.context) + "<td class=\"x\">" +
         escaped(row.mesh) + "</td><td class=\"x\">" + kind + "</td>" + number(row.step_ms) +
         number(row.low_ms) + number(row.high_ms) + number(row.plan_step_ms) +
         number(row.tokens_per_s) + number(row.mfu ? 100 * *row.mfu : std::nan(""), "&#8201;%") +
         bytes(row.memory_bytes) + bytes(row.plan_memory_bytes) + bytes(sent_in_all(row)) +
         parts_of(row) + "</tr>\n";
}

std::string head_html() {
  std::string out = "<tr>";
  const auto column = [&](const char* name, const char* unit, bool left = false) {
    out += fmt::format("<th{} scope=\"col\">{}<small>{}</small></th>", left ? " class=\"x\"" : "",
                       name, unit);
  };
  column("variant", "", true);
  column("context", "tokens");
  column("mesh", "", true);
  column("kind", "", true);
  column("step", "ms");
  column("fastest", "ms, or low");
  column("slowest", "ms, or high");
  column("plan", "ms");
  column("tokens/s", "");
  column("MFU", "");
  column("memory", "of the process");
  column("plan", "of a rank");
  column("sent", "bytes a step, first rank");
  column("products", "of the time");
  column("full attention", "");
  column("short attention", "");
  column("waiting", "for other ranks");
  column("rest", "");
  return out + "</tr>\n";
}

std::string fits_html(const ScaleSummary& s) {
  std::string out = "<ul>";
  for (const GrowthFit& f : s.fits) {
    out += fmt::format("<li>{}: {} grow as context<sup>{:.2f}</sup>{}</li>",
                       escaped(label_of(f.variant)), escaped(f.quantity), f.exponent.value,
                       std::isfinite(f.exponent.low)
                           ? fmt::format(" (95 % interval {:.2f} to {:.2f}, {} runs)",
                                         f.exponent.low, f.exponent.high, f.exponent.n)
                           : fmt::format(" ({} runs: no interval)", f.exponent.n));
  }
  return out + "</ul>";
}

}  // namespace

std::vector<Figure> scale_figures(const ScaleSummary& s) {
  const bool any = std::any_of(s.rows.begin(), s.rows.end(),
                               [](const ScaleRow& r) { return r.kind == Kind::measured; });
  if (!any) return {};
  Chart chart;
  chart.title = kScaleFigure;
  chart.x = {.label = "context (tokens)", .logarithmic = true, .numbers = Numbers::counts};
  chart.y = {.label = "time of a step (ms)", .logarithmic = true};
  std::set<double> contexts;
  for (const ScaleRow& row : s.rows) contexts.insert(static_cast<double>(row.context));
  chart.x.ticks.assign(contexts.begin(), contexts.end());
  const std::vector<std::string> variants = variants_of(s);
  for (std::size_t i = 0; i < std::min(variants.size(), kCategories); ++i) {
    add_variant(s, variants[i], category_color(i), chart);
  }
  return {
      {std::string(kScaleFigure),
       fmt::format("Solid: the median of the timed steps, with the fastest and the slowest. "
                   "Dashed in colour: not run; the plan, corrected by how far it was off for the "
                   "runs of the variant (of all, where it has none), with the interval that one "
                   "more measurement falls into in 95 of 100 cases. Grey: the plan for {}.{}",
                   s.machine,
                   variants.size() > kCategories
                       ? fmt::format(" Of {} variants the first {} are drawn.", variants.size(),
                                     kCategories)
                       : ""),
       std::move(chart)}};
}

PageSection scale_section(const ScaleSummary& s, const std::vector<Figure>& figures) {
  std::string html;
  for (const Figure& figure : figures) html += figure_html(figure);
  html +=
      "<div class=\"scroll\"><table class=\"sortable\"><thead>" + head_html() + "</thead><tbody>\n";
  for (const ScaleRow& row : s.rows) html += row_html(row);
  return {"Scaling", html + "</tbody></table></div>" + fits_html(s)};
}

}  // namespace mixspan
