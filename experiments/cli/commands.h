// The subcommands of `mixspan`, apart from how their arguments are parsed. Each returns the exit
// code or throws: InputError for what the user gave, Error for what failed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "experiments/run/exit_code.h"
#include "experiments/run/generate.h"

namespace mixspan {

struct PrepareArgs {
  std::vector<std::filesystem::path> inputs;
  std::filesystem::path out;
  std::string tokenizer = "byte";
};
ExitCode prepare_command(const PrepareArgs&);

struct TokenizerTrainArgs {
  std::vector<std::filesystem::path> inputs;
  std::int64_t vocab = 4096;
  std::filesystem::path out;
};
ExitCode tokenizer_train_command(const TokenizerTrainArgs&);

struct TrainArgs {
  std::filesystem::path config;
  std::vector<std::string> sets;
  std::filesystem::path run_dir;  ///< empty: runs/NAME-OF-CONFIG
  std::string max_time;
  int ranks = 1;
  bool print_config = false;
  bool profile = false;  ///< see TrainRequest
};
/// Of the exception being handled: prints its one line on stderr, returns what main() should.
ExitCode report_current_exception();

ExitCode train_command(const TrainArgs&);

struct EvalArgs {
  std::filesystem::path model;
  std::string data;                    ///< empty: what the run held out
  std::vector<std::int64_t> contexts;  ///< empty: the model's
  std::int64_t buckets = 8;
  std::string device = "auto";  ///< see chosen_device()
  bool json = false;
};
ExitCode eval_command(const EvalArgs&);

struct GenerateArgs {
  std::filesystem::path model;
  std::string prompt;  ///< or @FILE
  GenerateOptions options;
  std::string device = "auto";  ///< see chosen_device()
  bool max_tokens_given = false;
};
ExitCode generate_command(const GenerateArgs&);

struct ImportArgs {
  std::filesystem::path folder, out;
  std::int64_t context = 0;  ///< 0: the model's own
};
ExitCode import_command(const ImportArgs&);

struct ExportArgs {
  std::filesystem::path model, out;
};
ExitCode export_command(const ExportArgs&);

struct PlanArgs {
  std::filesystem::path config;
  std::vector<std::string> sets;
  std::filesystem::path machine;  ///< empty: measure this one
  std::int64_t ranks = 0;         ///< 0: as many as the config's mesh has
  bool json = false;
};
ExitCode plan_command(const PlanArgs&);

struct ReportArgs {
  std::filesystem::path folder;
  std::filesystem::path out;  ///< empty: report.html in the folder
};
ExitCode report_command(const ReportArgs&);

struct SweepArgs {
  std::filesystem::path file;
  std::vector<std::string> sets;
  std::string launcher = "local";  ///< or "slurm"
  std::filesystem::path out;       ///< empty: runs/NAME-OF-SWEEP
  std::filesystem::path machine;   ///< of the dry run; empty: measure this one
  std::int64_t jobs = 0;           ///< runs at a time; 0: what the file says
  bool dry_run = false;
  bool wait = false;  ///< with slurm: until all jobs have ended
};
ExitCode sweep_command(const SweepArgs&);
/// The same for a scaling study, with the summary of what is finished (scale.json, scale.csv).
ExitCode scale_command(const SweepArgs&);

struct SweepStatusArgs {
  std::filesystem::path folder;
  bool json = false;
};
ExitCode sweep_status_command(const SweepStatusArgs&);

struct SweepCancelArgs {
  std::filesystem::path folder;
};
ExitCode sweep_cancel_command(const SweepCancelArgs&);

struct SweepRetryArgs {
  std::filesystem::path folder;
  std::vector<std::string> names;  ///< empty: all that failed or were interrupted
  bool wait = false;               ///< as in SweepArgs
};
ExitCode sweep_retry_command(const SweepRetryArgs&);

struct InfoArgs {
  std::filesystem::path measure;  ///< where to write what was measured; empty: only print
};
ExitCode info_command(const InfoArgs&);

/// Parses the command line and runs the command. Prints errors to stderr, one line each; throws
/// nothing.
int run_command_line(int argc, const char* const* argv);

}  // namespace mixspan
