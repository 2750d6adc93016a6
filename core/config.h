// A configuration: plain structs in the program, one TOML file outside. Each key is described once,
// and reading, --set, the resolved config.toml, help and the reference all come from that.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace mixspan {

using ConfigValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::string>>;

struct TomlEntry;  // core/config_toml.h

/// What a value must satisfy beside its type. Doubles are always finite.
struct FieldRules {
  double min = -std::numeric_limits<double>::infinity();    ///< smallest allowed value
  double max = std::numeric_limits<double>::infinity();     ///< largest allowed value
  double above = -std::numeric_limits<double>::infinity();  ///< the value must be larger than this
  double below = std::numeric_limits<double>::infinity();   ///< the value must be smaller than this
  std::vector<std::string> one_of = {};                     ///< the only texts allowed
  std::string allowed = {};  ///< for the reference, where the rules above do not say it all
  /// Returns what is wrong with a value of the right type, or "". An InputError thrown inside
  /// counts as its message. Runs when a value is given, not on defaults.
  std::function<std::string(const ConfigValue&)> check = nullptr;
  bool required = false;     ///< a text that has no default
  std::string example = {};  ///< a value that works, as written in TOML; for required keys
};

/// The description of a config, bound to the structs it fills. All errors are InputErrors of one
/// line: PLACE: KEY: what was wanted, what was got. Not to be used further after an error.
class ConfigSchema {
 public:
  using Target =
      std::variant<bool*, std::int64_t*, double*, std::string*, std::vector<std::string>*>;
  struct Field {
    std::string section;  ///< "" for a key outside all sections
    std::string name;
    std::string help;
    Target target;
    FieldRules rules;
    std::string default_text;  ///< the value at the time of field(), as TOML
    std::string where;         ///< "FILE:LINE" or "--set KEY=VALUE"; "" while it has its default
    std::string key() const { return section.empty() ? name : section + "." + name; }
  };
  struct Section {
    std::string name, help;
  };

  /// Fields that follow belong to [name]. Keys outside all sections come before the first section.
  void section(std::string name, std::string help);
  /// `target` holds the default and must outlive this schema.
  void field(std::string name, Target target, std::string help, FieldRules rules = {});

  /// Absent keys keep what they have. `where` names the text in errors.
  void read_text(std::string_view text, const std::string& where);
  void read_file(const std::filesystem::path& path);
  /// One entry of the text that `where` names, its path a key of this schema.
  void read_entry(const TomlEntry& entry, const std::string& where);
  /// "section.name=value". Texts may be raw or quoted as in TOML; all else is written as in TOML.
  void set(const std::string& assignment, const std::string& where = "--set");
  /// Refuses when a required key has no value. `where` is the config's name, for the message.
  void check_required(const std::string& where) const;
  /// Where the key was given that `message` begins with; `otherwise` where it begins with none, or
  /// with one that has its default.
  std::string place_of(std::string_view message, const std::string& otherwise) const;

  /// Every key with its value, in declared order; reads back to the same bits.
  std::string to_toml() const;
  /// Markdown: a table for each section.
  std::string reference_markdown() const;
  /// The same for a terminal of 100 columns.
  std::string help_text() const;

  const std::vector<Field>& fields() const { return fields_; }
  const std::vector<Section>& sections() const { return sections_; }
  const Field* find(std::string_view key) const;  ///< nullptr where there is none

 private:
  std::vector<Field> fields_;
  std::vector<Section> sections_;
};

/// The schema's key closest to `key`, "" when none is close: by edit distance, where another
/// section counts as one edit.
std::string nearest_key(const ConfigSchema& schema, std::string_view key);

/// The text of a configuration file, at most 2 MiB of it. Throws InputError where it cannot be
/// read.
std::string read_config_text(const std::filesystem::path& path);

/// A value as TOML writes it; doubles in the shortest form that reads back to the same bits.
std::string to_toml(const ConfigValue& value);

}  // namespace mixspan
