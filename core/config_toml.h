// TOML text as a flat list of keys: the one place that knows the TOML library.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"

namespace mixspan {

struct TomlEntry {
  enum class Kind { value, section, section_list };  ///< key = ..., [key], [[key]]
  std::string path;                                  ///< section.name; odd names are quoted
  int line = 0;
  Kind kind = Kind::value;
  std::optional<ConfigValue> value;  ///< empty for what no config key can be, e.g. a date
  std::string shown;                 ///< the value on one line, for messages
};

/// Every key and section of `text`, in the order of their lines. Throws InputError "WHERE:LINE:
/// ..." for what is not TOML.
std::vector<TomlEntry> parse_toml(std::string_view text, const std::string& where);

/// Reads one value as TOML; empty when it is not TOML or more than one value.
std::optional<TomlEntry> parse_toml_value(std::string_view text);

}  // namespace mixspan
