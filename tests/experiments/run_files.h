// What a run has written into its folder, as tests compare it.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/run/metrics.h"
#include "tests/support/fixture.h"

namespace mixspan::test {

/// The lines of RUN/metrics.jsonl without what depends on the machine and the moment.
inline std::vector<nlohmann::json> metrics_of(const std::filesystem::path& run) {
  std::vector<nlohmann::json> lines;
  std::istringstream file(read_file(run / "metrics.jsonl"));
  for (std::string line; std::getline(file, line);) {
    lines.push_back(nlohmann::json::parse(line));
    for (std::string_view key : kTimingKeys) lines.back().erase(std::string(key));
  }
  return lines;
}

}  // namespace mixspan::test
