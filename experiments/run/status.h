// status.json: what a run is doing, for people and sweeps that watch it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace mixspan {

enum class RunState { queued, running, saving, done, failed, interrupted };
std::string_view name_of(RunState state);

struct RunStatus {
  RunState state = RunState::queued;
  std::int64_t step = 0, steps = 0;
  std::int64_t heartbeat = 0;  ///< seconds since 1970 when this was written
  std::int64_t restarts = 0;   ///< times the run was opened again
  std::string job_id, host;
  std::int64_t pid = 0;
  std::string last_error;  ///< why it failed or was interrupted; empty otherwise
};

/// Seconds since 1970, as heartbeats count them.
std::int64_t unix_time();

/// Replaces DIR/status.json.
void write_status(const std::filesystem::path& folder, const RunStatus& status);
/// Empty where there is no status.json. Throws InputError when it cannot be understood.
std::optional<RunStatus> read_status(const std::filesystem::path& folder);

}  // namespace mixspan
