#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "experiments/report/chart_axis.h"
#include "experiments/report/markup.h"
#include "experiments/report/sections.h"
#include "experiments/report/svg.h"
#include "experiments/run/progress.h"

namespace mixspan {

namespace {

/// A word of a shell command.
std::string quoted(const std::string& word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=,:+@";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

/// Absolute and without a slash at its end, for a shell that is in any folder.
std::filesystem::path from_anywhere(const std::filesystem::path& path) {
  return (std::filesystem::absolute(path) / "").lexically_normal().parent_path();
}

/// A new folder: in its own, a finished run has nothing left to do. A run that has not begun gets
/// the one that its sweep has for it.
std::string command_of(const RunRecord& run) {
  const std::filesystem::path config = from_anywhere(run.config_file);
  const std::filesystem::path folder = run.folder.empty()
                                           ? config.parent_path().parent_path() / "runs" / run.name
                                           : from_anywhere(run.folder).concat("-again");
  std::string command = fmt::format("mixspan train {} --run-dir {}", quoted(config.string()),
                                    quoted(folder.string()));
  if (run.config && run.config->parallel.ranks() > 1) {
    command += fmt::format(" --ranks {}", run.config->parallel.ranks());
  }
  return command;
}

/// The training loss as a small line without axes.
std::string sparkline(const RunRecord& run) {
  constexpr double kWidth = 260, kHeight = 44;
  std::vector<double> tokens, losses;
  for (std::size_t i = 0; i < run.training.size(); ++i) {
    if (!std::isfinite(run.training[i].loss)) continue;
    if (i < run.training.size() / 10) continue;  // the steep beginning
    tokens.push_back(run.training[i].tokens);
    losses.push_back(run.training[i].loss);
  }
  if (losses.size() < 3) return "";
  AxisScale x({}, tokens, 2), y({}, losses, 2);
  x.place(0, kWidth);
  y.place(kHeight, 0);
  std::string path;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    path += fmt::format("{}{} {}", i == 0 ? "M" : "L", px(x.at(tokens[i])), px(y.at(losses[i])));
  }
  return svg_element(kWidth, kHeight, "Training loss of " + run.name,
                     fmt::format(R"(<g class="c0"><path class="l" d="{}"/></g>)", path), false);
}

std::string facts(const RunRecord& run) {
  std::string rows;
  const auto fact = [&](const char* name, const std::string& value) {
    if (value.empty()) return;
    rows += fmt::format("<dt>{}</dt><dd>{}</dd>", name, escaped(value));
  };
  if (run.status) {
    const RunStatus& s = *run.status;
    fact("host", s.host);
    fact("job", s.job_id);
    fact("restarts", std::to_string(s.restarts));
    if (s.heartbeat > 0) {
      fact("last wrote", fmt::format("{:%Y-%m-%d %H:%M:%S} UTC",
                                     fmt::gmtime(static_cast<std::time_t>(s.heartbeat))));
    }
  }
  fact("build", run.build);
  fact("folder", run.folder.string());
  if (run.config) {
    fact("mesh", run.config->parallel.str());
    fact("device", run.config->device);
  }
  if (run.records > 0) {
    fact("speed", fmt::format("{} tokens/s, {:.1f} ms a step (medians of {} records)",
                              short_number(run.tokens_per_s), run.step_ms, run.records));
    fact("memory of the first rank's process",
         human_bytes(static_cast<std::int64_t>(run.memory_bytes)));
  }
  if (run.last_eval) {
    const EvalMetrics& e = *run.last_eval;
    fact("evaluation", fmt::format("loss {:.5f} on {} targets of {}, context {}, at step {}",
                                   e.loss, e.targets, e.data, e.context, e.step));
  }
  return fmt::format("<dl class=\"keys\">{}</dl>", rows);
}

bool has_relative_data(const RunConfig& config) {
  const auto is_relative = [](const std::string& data) {
    return !data.empty() && !data.starts_with("synthetic:") &&
           std::filesystem::path(data).is_relative();
  };
  return is_relative(config.data.train) || is_relative(config.data.eval);
}

std::string varied(const Findings& study, const RunRecord& run) {
  std::string text;
  for (const auto& [key, value] : config_values(*run.config)) {
    if (key != "train.seed" &&
        std::find(study.keys.begin(), study.keys.end(), key) == study.keys.end()) {
      continue;
    }
    text += fmt::format("{} = {}\n", key, value);
  }
  return fmt::format("<pre>{}</pre>", escaped(text));
}

std::string run_html(const Findings& study, const RunRecord& run) {
  std::string end;
  if (run.last_eval) end = fmt::format("<span>loss {:.4f}</span>", run.last_eval->loss);
  if (run.status && run.status->steps > 0) {
    end += fmt::format("<span>step {}/{}</span>", run.status->step, run.status->steps);
  }
  if (run.status && run.status->restarts > 0) {
    end += fmt::format("<span>{} restart{}</span>", run.status->restarts,
                       run.status->restarts == 1 ? "" : "s");
  }
  std::string body;
  if (!run.problem.empty()) body += fmt::format("<p class=\"error\">{}</p>", escaped(run.problem));
  body += sparkline(run) + facts(run);
  if (run.config) {
    body += fmt::format("<p>{}{}:</p>", run.folder.empty() ? "To run it" : "Again, in a new folder",
                        has_relative_data(*run.config)
                            ? ", from the folder that the paths of its data start in"
                            : "") +
            fmt::format("<pre class=\"cmd\">{}</pre>", escaped(command_of(run)));
    body += "<p>What varies between the runs:</p>" + varied(study, run);
  }
  if (!run.config_text.empty()) {
    body += fmt::format("<details><summary>Whole config</summary><pre>{}</pre></details>",
                        escaped(run.config_text));
  }
  return fmt::format(
      "<details class=\"run\"><summary><b>{}</b><span class=\"s-{}\">{}</span>{}</summary><div>{}"
      "</div></details>\n",
      escaped(run.name), run.state == "not begun" ? "queued" : run.state, run.state, end, body);
}

}  // namespace

PageSection runs_section(const Findings& study) {
  std::string all;
  if (study.runs.size() > 8) {
    all =
        "<input class=\"filter\" type=\"search\" data-for=\"details.run\" placeholder=\"Filter, "
        "e.g. failed\" aria-label=\"Filter the runs\">\n";
  }
  for (const RunRecord& run : study.runs) all += run_html(study, run);
  return {"Runs", all};
}

}  // namespace mixspan
