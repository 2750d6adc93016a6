#include "experiments/sweep/sweep_options.h"

#include <cctype>

namespace mixspan {

namespace {

/// It names a folder and a job.
std::string check_name(const ConfigValue& value) {
  const auto& name = std::get<std::string>(value);
  bool good = !name.empty() && name.size() <= 100 && name[0] != '.' && name[0] != '-';
  for (const unsigned char c : name) {
    good = good && (std::isalnum(c) != 0 ||
                    std::string_view("-_.").find(static_cast<char>(c)) != std::string_view::npos);
  }
  return good ? "" : "wanted up to 100 letters, digits, \"-\", \"_\" and \".\", a letter first";
}

}  // namespace

ConfigSchema schema_of(SweepOptions& sweep, ScaleOptions& scale, LocalLaunch& local,
                       SlurmLaunch& slurm) {
  ConfigSchema schema;
  schema.section("sweep", "What the runs start from.");
  schema.field("name", &sweep.name,
               "Of the sweep's folder and jobs; \"\" means the file's name without .toml.",
               {.allowed = "letters, digits, -, _ and .", .check = check_name});
  schema.field(
      "base", &sweep.base,
      "The config that all runs begin with, beside this file; \"\" means that [base.model] "
      "and so on in this file are it.");
  schema.field("seeds", &sweep.seeds,
               "train.seed = 1 to this, for every other setting; absent means as the base has it.",
               {.min = 1, .max = 10000});
  schema.section("scale", "What `mixspan scale` measures of each run.");
  schema.field("steps", &scale.steps, "Steps that are timed.", {.min = 1, .max = 100000});
  schema.field("warmup_steps", &scale.warmup_steps, "Steps before them that are not.",
               {.min = 1, .max = 100000});
  schema.field(
      "machine", &scale.machine,
      "A machine file, beside this file, that the predictions are made for; \"\" means the "
      "machine that writes the summary, measured.");
  describe_launch(schema, local, slurm);
  return schema;
}

}  // namespace mixspan
