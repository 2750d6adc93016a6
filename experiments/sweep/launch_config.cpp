#include "experiments/sweep/launch_config.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <string_view>

#include "core/error.h"
#include "core/text.h"

namespace mixspan {

namespace {

constexpr const char* kTimes = "minutes, M:S, H:M:S, D-H, D-H:M or D-H:M:S";
constexpr std::int64_t kMostTasks = 1 << 20;

/// Up to 9 digits as a number.
std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t n = 0;
  if (text.empty() || text.size() > 9 ||
      text.find_first_not_of("0123456789") != std::string_view::npos) {
    return std::nullopt;
  }
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

/// The numbers between colons; empty where there is anything else, or more than three.
std::vector<std::int64_t> parts_of(std::string_view text) {
  std::vector<std::int64_t> parts;
  for (;;) {
    const std::size_t colon = std::min(text.find(':'), text.size());
    const std::optional<std::int64_t> n = number(text.substr(0, colon));
    if (!n || parts.size() == 3) return {};
    parts.push_back(*n);
    if (colon == text.size()) return parts;
    text.remove_prefix(colon + 1);
  }
}

std::string check_time(const ConfigValue& value) {
  const auto& text = std::get<std::string>(value);
  if (!text.empty()) sbatch_seconds(text);
  return "";
}

std::string check_memory(const ConfigValue& value) {
  std::string_view text = std::get<std::string>(value);
  if (text.empty()) return "";
  if (std::string_view("KMGT").find(text.back()) != std::string_view::npos) text.remove_suffix(1);
  return number(text) ? "" : "wanted megabytes or a number with K, M, G or T, such as \"64G\"";
}

/// A line of a job script cannot be left early, nor hold another.
bool is_line(std::string_view text) {
  return !text.empty() && std::none_of(text.begin(), text.end(),
                                       [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

/// What follows "#SBATCH --partition=".
std::string check_word(const ConfigValue& value) {
  const auto& text = std::get<std::string>(value);
  const bool good = text.empty() || (is_line(text) && text.find_first_of(" #'\"\\") == text.npos);
  return good ? "" : "wanted a word without blanks, quotes or \"#\"";
}

std::string check_modules(const ConfigValue& value) {
  for (const std::string& name : std::get<std::vector<std::string>>(value)) {
    const bool good =
        !name.empty() && name[0] != '-' && std::all_of(name.begin(), name.end(), [](char c) {
          return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                 std::string_view("/-_.+:@=").find(c) != std::string_view::npos;
        });
    if (!good) {
      return fmt::format(
          "\"{}\": wanted names as `module load` takes them, such as "
          "\"openmpi/4.1\"",
          one_line(name));
    }
  }
  return "";
}

std::string check_setup(const ConfigValue& value) {
  for (const std::string& line : std::get<std::vector<std::string>>(value)) {
    if (!is_line(line)) {
      return fmt::format("\"{}\": wanted one line of shell for each text", one_line(line));
    }
  }
  return "";
}

/// An option that a key of [slurm] says, or that the sweep needs for itself.
struct Taken {
  std::string_view option, letter;
  std::string_view key;  // "": the sweep's own
};

constexpr std::array<Taken, 22> kTaken{{{"--partition", "-p", "partition"},
                                        {"--account", "-A", "account"},
                                        {"--qos", "-q", "qos"},
                                        {"--constraint", "-C", "constraint"},
                                        {"--time", "-t", "time"},
                                        {"--nodes", "-N", "nodes"},
                                        {"--ntasks", "-n", ""},
                                        {"--ntasks-per-node", "", "tasks_per_node"},
                                        {"--cpus-per-task", "-c", "cpus_per_task"},
                                        {"--gpus-per-node", "", "gpus_per_node"},
                                        {"--mem", "", "mem"},
                                        {"--signal", "", "signal_before_s"},
                                        {"--array", "-a", ""},
                                        {"--output", "-o", ""},
                                        {"--error", "-e", ""},
                                        {"--open-mode", "", ""},
                                        {"--job-name", "-J", ""},
                                        {"--no-requeue", "", ""},
                                        {"--wait", "-W", ""},
                                        {"--chdir", "-D", ""},
                                        {"--test-only", "", ""},
                                        {"--wrap", "", ""}}};

std::string check_sbatch(const ConfigValue& value) {
  for (const std::string& option : std::get<std::vector<std::string>>(value)) {
    const std::string shown = one_line(option);
    if (!is_line(option) || option[0] != '-') {
      return fmt::format(
          "\"{}\": wanted options of sbatch, each with its value in one text, such "
          "as \"--exclusive\" or \"--exclude=n7\"",
          shown);
    }
    const std::string name = option.substr(0, option.find_first_of("= "));
    for (const Taken& taken : kTaken) {
      const bool short_form =
          !taken.letter.empty() && !name.starts_with("--") && name.starts_with(taken.letter);
      // sbatch takes the beginning of an option for the whole.
      const bool long_form = name.starts_with("--") && taken.option.starts_with(name);
      if (!long_form && !short_form) continue;
      return taken.key.empty() ? fmt::format("\"{}\": {} is the sweep's own", shown, taken.option)
                               : fmt::format("\"{}\": wanted slurm.{} for that", shown, taken.key);
    }
  }
  return "";
}

std::string check_srun(const ConfigValue& value) {
  const auto& options = std::get<std::vector<std::string>>(value);
  for (const std::string& option : options) {
    if (!is_line(option)) {
      return fmt::format("\"{}\": wanted one option for each text", one_line(option));
    }
  }
  // Else it would be the program that srun starts.
  return options.empty() || options[0][0] == '-'
             ? ""
             : fmt::format("\"{}\": wanted options of srun, such as \"--mpi=pmix\"",
                           one_line(options[0]));
}

void describe_slurm(ConfigSchema& schema, SlurmLaunch& s) {
  schema.section("slurm", "One array of jobs; each task is one run on its mesh.");
  const FieldRules word{.allowed = "a word", .check = check_word};
  schema.field("partition", &s.partition, "\"\" means the cluster's choice, here and below.", word);
  schema.field("account", &s.account, "Who pays.", word);
  schema.field("qos", &s.qos, "Quality of service.", word);
  schema.field("constraint", &s.constraint, "Features that nodes must have.", word);
  schema.field("time", &s.time, "Limit of one job; a run that needs more goes on in the next one.",
               {.allowed = kTimes, .check = check_time});
  schema.field("nodes", &s.nodes, "Of one run; 0 means as many as its ranks need.",
               {.min = 0, .max = 65536});
  schema.field("tasks_per_node", &s.tasks_per_node, "Ranks on a node; 0 leaves it to the cluster.",
               {.min = 0, .max = 4096});
  schema.field("cpus_per_task", &s.cpus_per_task, "Processors of a rank; 0: as the cluster has it.",
               {.min = 0, .max = 65536});
  schema.field("gpus_per_node", &s.gpus_per_node,
               "One for each rank on a node, at least; 0 asks for none. Runs on the CPU get none.",
               {.min = 0, .max = 1024});
  schema.field("mem", &s.mem, "Memory of a node.",
               {.allowed = "megabytes, or a number with K, M, G or T", .check = check_memory});
  schema.field("max_at_once", &s.max_at_once, "Runs that run at a time; 0 means no limit.",
               {.min = 0, .max = kMostTasks});
  schema.field("signal_before_s", &s.signal_before_s,
               "Seconds before the limit at which a run is told to save and stop. Slurm may be "
               "half a minute early.",
               {.min = 1, .max = 65535});
  schema.field("max_restarts", &s.max_restarts,
               "Of one run, by time limits, preemption and lost nodes.",
               {.min = 0, .max = kMostTasks});
  schema.field("modules", &s.modules, "Environment modules to load, in this order.",
               {.allowed = "a list of names", .check = check_modules});
  schema.field("setup", &s.setup, "Lines of shell before srun, such as \"export UCX_TLS=rc\".",
               {.allowed = "a list of lines", .check = check_setup});
  schema.field("sbatch", &s.sbatch, "Further options of sbatch, such as \"--exclusive\".",
               {.allowed = "a list of options", .check = check_sbatch});
  schema.field("srun", &s.srun, "Options of srun; a container's go here too.",
               {.allowed = "a list of options", .check = check_srun});
}

}  // namespace

std::int64_t sbatch_seconds(std::string_view text) {
  const std::size_t dash = text.find('-');
  const bool has_days = dash != text.npos;
  const std::optional<std::int64_t> days = number(text.substr(0, has_days ? dash : 0));
  const std::vector<std::int64_t> parts = parts_of(text.substr(has_days ? dash + 1 : 0));
  std::int64_t seconds = 0;
  if (has_days && days) {
    constexpr std::int64_t kUnits[] = {3600, 60, 1};
    for (std::size_t i = 0; i < parts.size(); ++i) seconds += parts[i] * kUnits[i];
    seconds += *days * 86400;
  } else {
    constexpr std::int64_t kUnits[] = {1, 60, 3600};
    const std::size_t skipped = parts.size() == 1 ? 1 : 0;  // one number is minutes
    for (std::size_t i = 0; i < parts.size(); ++i) {
      seconds += parts[parts.size() - 1 - i] * kUnits[i + skipped];
    }
  }
  require(!parts.empty() && (days || !has_days) && seconds > 0, "time \"{}\": wanted {}",
          one_line(text), kTimes);
  return seconds;
}

void describe_launch(ConfigSchema& schema, LocalLaunch& local, SlurmLaunch& slurm) {
  schema.section("local", "Processes on this machine.");
  schema.field("jobs", &local.jobs,
               "Runs at a time; 0 means as many as the processors hold of `cores` each, or, where "
               "`cores` is 0 too and runs are on GPUs, as the GPUs hold.",
               {.min = 0, .max = kMostJobs});
  schema.field("cores", &local.cores,
               "Processors of one run; 0 means that the jobs divide all of them, or, where jobs is "
               "0 too, that one run has all.",
               {.min = 0, .max = 65536});
  describe_slurm(schema, slurm);
}

void validate(const SlurmLaunch& slurm) {
  require(slurm.time.empty() || sbatch_seconds(slurm.time) > slurm.signal_before_s,
          "slurm.signal_before_s = {} leaves nothing of a job of slurm.time = \"{}\"; wanted less, "
          "or a longer time",
          slurm.signal_before_s, slurm.time);
}

}  // namespace mixspan
