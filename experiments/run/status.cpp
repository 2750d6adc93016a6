#include "experiments/run/status.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/durable_file.h"
#include "core/error.h"

namespace mixspan {

namespace {
constexpr std::array kStates{RunState::queued, RunState::running, RunState::saving,
                             RunState::done,   RunState::failed,  RunState::interrupted};
}

std::string_view name_of(RunState state) {
  switch (state) {
    case RunState::queued:
      return "queued";
    case RunState::running:
      return "running";
    case RunState::saving:
      return "saving";
    case RunState::done:
      return "done";
    case RunState::failed:
      return "failed";
    case RunState::interrupted:
      return "interrupted";
  }
  return "?";
}

std::int64_t unix_time() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

void write_status(const std::filesystem::path& folder, const RunStatus& s) {
  const nlohmann::ordered_json json{{"state", name_of(s.state)},
                                    {"step", s.step},
                                    {"steps", s.steps},
                                    {"heartbeat", s.heartbeat},
                                    {"restarts", s.restarts},
                                    {"job_id", s.job_id},
                                    {"host", s.host},
                                    {"pid", s.pid},
                                    {"last_error", s.last_error}};
  replace_file(folder / "status.json",
               json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

std::optional<RunStatus> read_status(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "status.json";
  std::ifstream in(file, std::ios::binary);
  if (!in.is_open()) return {};
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  try {
    const auto json = nlohmann::json::parse(text);
    RunStatus s;
    const auto state = json.at("state").get<std::string>();
    const auto found = std::find_if(kStates.begin(), kStates.end(),
                                    [&](RunState known) { return name_of(known) == state; });
    require(found != kStates.end(), "{}: state is not known", file.string());
    s.state = *found;
    json.at("step").get_to(s.step);
    json.at("steps").get_to(s.steps);
    json.at("heartbeat").get_to(s.heartbeat);
    json.at("restarts").get_to(s.restarts);
    json.at("job_id").get_to(s.job_id);
    json.at("host").get_to(s.host);
    json.at("pid").get_to(s.pid);
    json.at("last_error").get_to(s.last_error);
    return s;
  } catch (const nlohmann::json::exception&) {
    refuse("{}: is damaged; it only informs, so it can be removed", file.string());
  }
}

}  // namespace mixspan
