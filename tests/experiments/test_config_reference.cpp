// docs/config.md is written from the description of the keys; this keeps it from going stale.
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/durable_file.h"
#include "experiments/run/run_config.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

TEST(ConfigReference, IsUpToDate) {
  RunConfig config;
  const std::string want =
      "# The config of a run\n\n"
      "Every key that `mixspan train CONFIG.toml` knows. A key that is not given has its default; "
      "`--set section.key=value`\noverrides one. The file is TOML. Written from the program by its "
      "tests: do not edit.\n\n" +
      schema_of(config).reference_markdown();
  const std::filesystem::path path = std::filesystem::path(MIXSPAN_SOURCE_DIR) / "docs/config.md";
  if (std::getenv("MIXSPAN_UPDATE_DOCS") != nullptr) replace_file(path, want);
  ASSERT_TRUE(std::filesystem::exists(path) && test::read_file(path) == want)
      << "docs/config.md is stale; refresh it with\n"
         "  MIXSPAN_UPDATE_DOCS=1 build/cpu-release/tests/test_experiments "
         "--gtest_filter='ConfigReference.*'";
}

}  // namespace
}  // namespace mixspan
