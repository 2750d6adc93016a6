#include "experiments/sweep/sweep_table.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "core/text.h"

namespace mixspan {

namespace {

constexpr std::array kStateOrder{"done",   "running",     "saving", "queued",
                                 "failed", "interrupted", "missing"};

std::string loss_text(const std::optional<double>& loss) {
  return loss ? fmt::format("{:.4f}", *loss) : "";
}

std::string step_text(const RunSight& run) {
  return run.steps > 0 ? fmt::format("{}/{}", run.step, run.steps) : "";
}

using Row = std::array<std::string, 8>;

Row row_of(const RunSight& run) {
  return {run.name,
          std::string(state_name(run)),
          step_text(run),
          loss_text(run.train_loss),
          loss_text(run.eval_loss),
          run.left_s ? human_duration(*run.left_s) : "",
          run.restarts > 0 ? std::to_string(run.restarts) : "",
          run.note.empty() ? "" : one_line(run.note, 200)};
}

std::map<std::string, std::int64_t> counts_of(const std::vector<RunSight>& runs) {
  std::map<std::string, std::int64_t> counts;
  for (const RunSight& run : runs) ++counts[std::string(state_name(run))];
  return counts;
}

// The runs that a terminal of so many lines has room for: what goes on, then what went wrong.
std::vector<RunSight> most_telling(const std::vector<RunSight>& runs, std::size_t room) {
  if (runs.size() <= room) return runs;
  constexpr std::array<const char*, 7> kRank{"running", "saving",  "failed", "interrupted",
                                             "queued",  "missing", "done"};
  std::vector<bool> chosen(runs.size(), false);
  std::size_t left = room;
  for (const char* state : kRank) {
    for (std::size_t i = 0; i < runs.size() && left > 0; ++i) {
      if (chosen[i] || state_name(runs[i]) != state) continue;
      chosen[i] = true;
      --left;
    }
  }
  std::vector<RunSight> kept;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (chosen[i]) kept.push_back(runs[i]);
  }
  return kept;
}

int terminal_height(std::FILE* stream) {
  struct winsize size {};
  const bool known = ::ioctl(::fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_row > 0;
  return known ? size.ws_row : 24;
}

}  // namespace

std::vector<std::string> table_lines(const std::vector<RunSight>& runs, int width) {
  std::vector<Row> rows{{"run", "state", "step", "loss", "eval loss", "left", "restarts", "note"}};
  for (const RunSight& run : runs) rows.push_back(row_of(run));
  std::array<std::size_t, std::tuple_size_v<Row>> widths{};
  for (const Row& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::vector<std::string> lines;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t c = 0; c + 1 < row.size(); ++c) {
      const bool text = c < 2;
      line += text ? fmt::format("{:<{}}  ", row[c], widths[c])
                   : fmt::format("{:>{}}  ", row[c], widths[c]);
    }
    line += row.back();
    line.erase(line.find_last_not_of(' ') + 1);
    if (width > 0 && line.size() > static_cast<std::size_t>(width)) {
      line.resize(static_cast<std::size_t>(width));
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string summary_line(const std::vector<RunSight>& runs) {
  const auto counts = counts_of(runs);
  std::string line = fmt::format("{} run{}", runs.size(), runs.size() == 1 ? "" : "s");
  const char* separator = ": ";
  for (const char* state : kStateOrder) {
    const auto count = counts.find(state);
    if (count == counts.end()) continue;
    line += fmt::format("{}{} {}", separator, count->second, state);
    separator = ", ";
  }
  return line;
}

std::string to_json(const std::vector<RunSight>& runs) {
  nlohmann::ordered_json json;
  json["counts"] = nlohmann::ordered_json::object();
  const auto counts = counts_of(runs);
  for (const char* state : kStateOrder) {
    const auto count = counts.find(state);
    json["counts"][state] = count == counts.end() ? 0 : count->second;
  }
  json["runs"] = nlohmann::ordered_json::array();
  const auto number = [](const std::optional<double>& value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
  };
  for (const RunSight& run : runs) {
    json["runs"].push_back({{"name", run.name},
                            {"state", state_name(run)},
                            {"step", run.step},
                            {"steps", run.steps},
                            {"loss", number(run.train_loss)},
                            {"eval_loss", number(run.eval_loss)},
                            {"left_s", number(run.left_s)},
                            {"restarts", run.restarts},
                            {"job_id", run.job_id},
                            {"note", run.note}});
  }
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

SweepTable::SweepTable(std::FILE* stream)
    : SweepTable(stream, LineStyle::of(stream), terminal_height(stream)) {}

SweepTable::SweepTable(std::FILE* stream, LineStyle style, int height)
    : stream_(stream), style_(style), height_(height) {}

void SweepTable::show(const std::vector<RunSight>& runs) {
  for (const RunSight& run : runs) shown_[run.name] = run;
  if (style_.live) {
    constexpr int kOthers = 4;  // heads, summary, how many are left out, the cursor's line
    const auto room = static_cast<std::size_t>(std::max(1, height_ - kOthers));
    const std::vector<RunSight> kept = most_telling(runs, room);
    clear();
    lines_ = table_lines(kept, style_.width);
    if (kept.size() < runs.size()) {
      lines_.push_back(fmt::format("... and {} more", runs.size() - kept.size()));
    }
    lines_.push_back(summary_line(runs));
    return draw();
  }
  for (const RunSight& run : runs) {
    const std::string state(state_name(run));
    std::string& told = told_[run.name];
    if (told == state || (told.empty() && !run.state)) continue;
    told = state;
    std::string line = fmt::format("{}: {}", run.name, state);
    if (run.steps > 0) line += fmt::format(", step {}", step_text(run));
    if (run.train_loss) line += fmt::format(", loss {}", loss_text(run.train_loss));
    if (run.eval_loss) line += fmt::format(", eval loss {}", loss_text(run.eval_loss));
    if (!run.note.empty()) line += fmt::format(" ({})", one_line(run.note, 200));
    fmt::print(stream_, "{}\n", line);
  }
  std::fflush(stream_);
}

const RunSight* SweepTable::shown(const std::string& run) const {
  const auto found = shown_.find(run);
  return found == shown_.end() ? nullptr : &found->second;
}

void SweepTable::note(const std::string& line) {
  clear();
  fmt::print(stream_, "{}\n", line);
  draw();
}

void SweepTable::clear() {
  if (drawn_ > 0) fmt::print(stream_, "\x1b[{}A\r\x1b[J", drawn_);  // up, then all below goes
  drawn_ = 0;
}

void SweepTable::draw() {
  for (const std::string& line : lines_) fmt::print(stream_, "{}\n", line);
  drawn_ = lines_.size();
  std::fflush(stream_);
}

}  // namespace mixspan
