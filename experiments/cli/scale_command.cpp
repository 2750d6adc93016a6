#include <fmt/format.h>

#include "core/durable_file.h"
#include "experiments/cli/run_sweep.h"
#include "experiments/run/machine.h"
#include "experiments/sweep/scale_summary.h"
#include "experiments/sweep/sweep_options.h"

namespace mixspan {

ExitCode scale_command(const SweepArgs& a) {
  const SweepFile study = SweepFile::load(a.file, a.sets, SweepKind::scale);
  const std::string& given = study.scale().machine;
  std::optional<MachineFile> machine;
  if (!given.empty()) machine = load_machine_file(given);
  const ExitCode code = run_sweep(study, a);
  if (a.dry_run) return code;
  if (!machine) machine = measure_machine(Machine().exec());
  const std::filesystem::path out = sweep_out(study, a);
  const ScaleSummary summary = summarize(study, out / "runs", *machine);
  replace_file(out / "scale.json", to_json(summary));
  replace_file(out / "scale.csv", to_csv(summary));
  fmt::print("{}everything is in {}; figures: mixspan report {}\n", to_text(summary), out.string(),
             out.string());
  return code;
}

}  // namespace mixspan
