#include <fmt/format.h>

#include "core/durable_file.h"
#include "experiments/cli/run_sweep.h"
#include "experiments/run/machine.h"
#include "experiments/sweep/data_paths.h"
#include "experiments/sweep/scale_summary.h"
#include "experiments/sweep/sweep_options.h"

namespace mixspan {

namespace {

// --machine comes before what the study says, which is beside it.
std::filesystem::path machine_file(const SweepFile& study, const SweepArgs& a) {
  if (!a.machine.empty() || study.scale().machine.empty()) return a.machine;
  return study.path().parent_path() / study.scale().machine;
}

}  // namespace

ExitCode scale_command(const SweepArgs& a) {
  const SweepFile study = SweepFile::load(a.file, a.sets, SweepKind::scale);
  SweepArgs arguments = a;
  arguments.machine = machine_file(study, a);
  if (a.dry_run) return run_sweep(study, arguments);
  // The plan comes first: what cannot be planned is refused before anything runs.
  ScalePlan plan = plan_scale(study,
                              arguments.machine.empty() ? measure_machine(Machine().exec())
                                                        : load_machine_file(arguments.machine),
                              paths_begin(sweep_out(study, a)));
  arguments.machine.clear();  // the runs themselves have no use for it
  const ExitCode code = run_sweep(study, arguments);
  const std::filesystem::path out = sweep_out(study, a);
  const ScaleSummary summary = summarize(std::move(plan), out / "runs");
  replace_file(out / "scale.json", to_json(summary));
  replace_file(out / "scale.csv", to_csv(summary));
  fmt::print("{}everything is in {}; figures: mixspan report {}\n", to_text(summary), out.string(),
             out.string());
  return code;
}

}  // namespace mixspan
