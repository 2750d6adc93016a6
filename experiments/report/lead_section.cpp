#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "experiments/report/markup.h"
#include "experiments/report/sections.h"

namespace mixspan {

namespace {

constexpr std::size_t kMostValues = 24;

std::string tile(std::size_t number, const std::string& what) {
  return fmt::format("<li><b>{}</b><span>{}</span></li>", number, escaped(what));
}
std::string counted(std::size_t number, const std::string& what) {
  return tile(number, number == 1 ? what : what + "s");
}

/// The values of one key over all variants, each once, in natural order.
std::string values_of(const Findings& study, std::size_t key) {
  std::set<std::string> distinct;
  for (const Variant& v : study.variants) distinct.insert(v.values[key]);
  std::vector<std::string> values(distinct.begin(), distinct.end());
  std::sort(values.begin(), values.end(), natural_less);
  std::string text;
  for (std::size_t i = 0; i < std::min(values.size(), kMostValues); ++i) {
    text += (i == 0 ? "" : " · ") + (values[i].empty() ? "\"\"" : values[i]);
  }
  if (values.size() > kMostValues) {
    text += fmt::format(" and {} more", values.size() - kMostValues);
  }
  return text;
}

std::string swept(const Findings& study) {
  std::string rows;
  const auto row = [&](const std::string& key, const std::string& values) {
    rows += fmt::format("<dt>{}</dt><dd>{}</dd>", escaped(key), escaped(values));
  };
  for (std::size_t k = 0; k < study.keys.size(); ++k) row(study.keys[k], values_of(study, k));
  if (study.seeds.size() > 1) {
    row("train.seed", fmt::format("{}", fmt::join(study.seeds, " · ")));
  }
  if (rows.empty()) return "<p>All runs have the same config.</p>";
  return fmt::format("<dl class=\"keys\">{}</dl>", rows);
}

std::string written(const Findings& study) {
  std::int64_t last = 0;
  std::set<std::string> builds;
  for (const RunRecord& run : study.runs) {
    if (run.status) last = std::max(last, run.status->heartbeat);
    if (!run.build.empty()) builds.insert(run.build);
  }
  std::string text;
  if (last > 0) {
    text = fmt::format("Runs last wrote on {:%Y-%m-%d at %H:%M} UTC",
                       fmt::gmtime(static_cast<std::time_t>(last)));
  }
  if (!builds.empty()) {
    text += fmt::format("{}mixspan {}", text.empty() ? "" : " · ", fmt::join(builds, ", "));
  }
  if (text.empty()) return "";
  if (builds.size() > 1) text += ": not all runs are of one build";
  return fmt::format("<p class=\"quiet\">{}.</p>", escaped(text));
}

}  // namespace

std::string lead_html(const Findings& study) {
  std::map<std::string, std::size_t> states;
  for (const RunRecord& run : study.runs) ++states[run.state];
  std::string tiles = counted(study.runs.size(), "run") +
                      counted(study.variants.size(), "variant") +
                      counted(study.seeds.size(), "seed");
  for (const auto& [state, n] : states) tiles += tile(n, state);
  return fmt::format("{}<ul class=\"tiles\">{}</ul>{}", written(study), tiles, swept(study));
}

PageSection settings_section(const Findings& study) {
  std::map<std::string, std::string> defaults;
  for (const auto& [key, value] : config_values(RunConfig{})) defaults[key] = value;
  std::string rows;
  for (const auto& [key, value] : study.common) {
    if (key == "train.seed" || value == defaults[key]) continue;
    rows += fmt::format("<dt>{}</dt><dd>{}</dd>", escaped(key), escaped(plain_value(value)));
  }
  return {"Settings in common",
          rows.empty() ? "<p>All keys that no run varies have their defaults.</p>\n"
                       : fmt::format("<p>What no run varies, where it is not the default.</p>"
                                     "<dl class=\"keys\">{}</dl>\n",
                                     rows)};
}

}  // namespace mixspan
