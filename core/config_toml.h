// TOML text as a tree, or as a flat list of keys: the one place that knows the TOML library.
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

/// A value, list or table of TOML, and where it stands.
struct TomlNode {
  enum class Kind { value, list, table };
  Kind kind = Kind::value;
  bool is_inline = false;            ///< a table written {a = 1}
  bool of_tables = false;            ///< a list of tables alone: [[key]], or [{a = 1}]
  std::string key;                   ///< its name in its table, unquoted; "" in a list
  int line = 0, column = 0;          ///< of its key, or of itself in a list
  std::vector<TomlNode> items;       ///< of a list; of a table in the order of the text
  std::optional<ConfigValue> value;  ///< empty for what no config key can be
  std::string shown;                 ///< on one line, for messages
  const TomlNode* find(std::string_view name) const;  ///< an item of a table, or nullptr
};

/// The table that `text` is. Throws InputError "WHERE:LINE: ..." for what is not TOML.
TomlNode parse_toml_tree(std::string_view text, const std::string& where);

/// What `table` holds, at any depth, in the order of the text; paths begin with `prefix`.
std::vector<TomlEntry> toml_entries(const TomlNode& table, const std::string& prefix = "");

/// Every key and section of `text`, in the order of their lines. Throws InputError "WHERE:LINE:
/// ..." for what is not TOML.
std::vector<TomlEntry> parse_toml(std::string_view text, const std::string& where);

/// Reads one value as TOML; empty when it is not TOML or more than one value.
std::optional<TomlEntry> parse_toml_value(std::string_view text);

}  // namespace mixspan
