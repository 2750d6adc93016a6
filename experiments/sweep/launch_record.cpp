#include "experiments/sweep/launch_record.h"

#include "core/config.h"
#include "core/durable_file.h"

namespace mixspan {

namespace {

ConfigSchema schema_of(LaunchRecord& record) {
  ConfigSchema schema;
  schema.section("launch", "How the sweep was started last.");
  schema.field("launcher", &record.launcher, "Where the runs run.", {.one_of = {"local", "slurm"}});
  schema.field("working_dir", &record.working_dir, "Where they were started.");
  describe_launch(schema, record.local, record.slurm);
  return schema;
}

}  // namespace

void write_launch_record(const std::filesystem::path& file, LaunchRecord record) {
  replace_file(file, schema_of(record).to_toml());
}

LaunchRecord read_launch_record(const std::filesystem::path& file) {
  LaunchRecord record;
  schema_of(record).read_file(file);
  return record;
}

}  // namespace mixspan
