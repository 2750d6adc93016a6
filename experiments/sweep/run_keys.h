// The keys of a run's config, as a sweep file gives them values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config_toml.h"
#include "experiments/run/run_config.h"
#include "experiments/sweep/sweep_run.h"

namespace mixspan {

/// A key with a value of its type, and the line of the sweep file that says so.
struct KeyValue {
  std::string key;
  ConfigValue value;
  int line = 0;
};

/// "FILE:LINE: KEY", for messages.
std::string place_of(const std::string& file, int line, std::string_view key);

/// The values under `table`, at any depth: [grid] "model.span" = ..., model.span = ... and
/// [grid.model] span = ... are the same key. A table in braces counts as a value. Keys are whole.
/// Throws InputError where a key is given twice, or a [[list of tables]] is among them.
std::vector<TomlNode> leaves_of(const TomlNode& table, const std::string& file);

/// One config that takes values one after the other. Errors are InputErrors of one line: PLACE:
/// KEY: what was wanted, what was got.
class RunKeys {
 public:
  /// `file`: the sweep file's name, for messages.
  explicit RunKeys(std::string file);
  RunKeys(const RunKeys&) = delete;
  RunKeys& operator=(const RunKeys&) = delete;

  const std::string& file() const { return file_; }
  RunConfig& config() { return config_; }
  const RunConfig& config() const { return config_; }
  ConfigSchema& schema() { return schema_; }

  /// Takes what `node` says for `key` and returns it as the key's type has it, whatever the way it
  /// was written: 1e-3 and 0.001 are equal. Refuses an unknown key and a wrong type or range.
  KeyValue read(const std::string& key, const TomlNode& node);
  /// The same with a value that read() returned.
  void apply(const KeyValue& value);
  /// What `key` has now. The key exists.
  ConfigValue value_of(std::string_view key) const;

 private:
  void assign(const std::string& key, const TomlNode& node);

  std::string file_;
  RunConfig config_;
  ConfigSchema schema_;  // bound to config_
};

}  // namespace mixspan
