#include "experiments/sweep/slurm_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <sstream>

#include "core/error.h"
#include "core/text.h"
#include "experiments/sweep/command.h"

namespace mixspan {

namespace {

constexpr std::array kCommands{"sbatch", "squeue", "scancel", "scontrol"};

bool has_ended(const std::string& state) {
  constexpr std::array kEnds{"BOOT_FAIL", "CANCELLED",     "COMPLETED", "DEADLINE", "FAILED",
                             "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",  "TIMEOUT"};
  return std::find(kEnds.begin(), kEnds.end(), state) != kEnds.end();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

// "sbatch: error: invalid partition specified: x" and its kin as one line, without the prefixes.
std::string words_of(const CommandResult& result) {
  std::string words;
  for (std::string line : lines_of(result.err)) {
    for (const char* command : kCommands) {
      for (const char* kind : {": error: ", ": fatal: ", ": "}) {
        const std::string prefix = std::string(command) + kind;
        if (line.starts_with(prefix)) line.erase(0, prefix.size());
      }
    }
    words += (words.empty() ? "" : "; ") + line;
  }
  return words.empty() ? fmt::format("exit code {}", result.exit_code) : one_line(words, 300);
}

}  // namespace

bool has_slurm() { return std::all_of(kCommands.begin(), kCommands.end(), in_path); }

void require_slurm() {
  for (const char* command : kCommands) {
    require(
        in_path(command),
        "launcher slurm: PATH has no {}; wanted a machine of a Slurm cluster (a login node), or "
        "--launcher local",
        command);
  }
}

std::string submit(const std::filesystem::path& script) {
  const CommandResult result = run_command({"sbatch", "--parsable", script.string()});
  require(result.exit_code == 0, "sbatch does not take the job: {}", words_of(result));
  const std::string id = result.out.substr(0, result.out.find_first_of(";\n"));  // ID[;CLUSTER]
  check(!id.empty() && id.find_first_not_of("0123456789") == std::string::npos,
        "sbatch --parsable {}: wanted the number of a job, got \"{}\"", script.string(),
        one_line(result.out));
  return id;
}

JobStates unfinished_jobs(const std::vector<std::string>& ids) {
  std::set<std::string> jobs;
  for (const std::string& id : ids) jobs.insert(id.substr(0, id.find('_')));
  if (jobs.empty()) return {};
  const CommandResult result = run_command({"squeue", "--noheader", "--array", "--format=%i|%T",
                                            fmt::format("--jobs={}", fmt::join(jobs, ","))});
  // What squeue says of a single job that ended long ago.
  const bool unknown = result.err.find("Invalid job id") != std::string::npos;
  check(result.exit_code == 0 || unknown, "squeue: {}", words_of(result));
  JobStates states;
  for (const std::string& line : lines_of(result.out)) {
    const std::size_t bar = line.find('|');
    if (bar == std::string::npos) continue;
    const std::string state = line.substr(bar + 1);
    if (!has_ended(state)) states[line.substr(0, bar)] = state;
  }
  return states;
}

void cancel_jobs(const std::vector<std::string>& ids) {
  if (ids.empty()) return;
  std::vector<std::string> arguments{"scancel"};
  arguments.insert(arguments.end(), ids.begin(), ids.end());
  const CommandResult result = run_command(arguments);
  const bool ended = result.err.find("already") != std::string::npos ||
                     result.err.find("Invalid job id") != std::string::npos;
  check(result.exit_code == 0 || ended, "scancel: {}", words_of(result));
}

std::int64_t max_array_size() {
  constexpr std::int64_t kDefault = 1001;
  const CommandResult result = run_command({"scontrol", "show", "config"});
  for (const std::string& line : lines_of(result.out)) {
    if (!line.starts_with("MaxArraySize")) continue;
    const std::size_t digit = line.find_first_of("0123456789");
    if (digit != std::string::npos) return std::stoll(line.substr(digit));
  }
  return kDefault;
}

}  // namespace mixspan
