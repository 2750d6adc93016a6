// Compares two resolved configs key by key.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mixspan {

struct ConfigDifference {
  std::string key;        ///< "train.steps"
  std::string old_value;  ///< as written; empty where the key is absent
  std::string new_value;
};
/// In the new config's order, then the keys that only the old one has. Values are compared as they
/// are written, without comments and surrounding blanks.
std::vector<ConfigDifference> config_differences(std::string_view old_toml,
                                                 std::string_view new_toml);

/// Whether `key` is one of `patterns`: a key, or "log.*" for all of a table.
bool matches_any(std::string_view key, const std::vector<std::string>& patterns);

}  // namespace mixspan
