#include "core/config.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>

#include "core/config_text.h"
#include "core/config_toml.h"
#include "core/error.h"
#include "core/text.h"

namespace mixspan {

namespace {

bool has_section(const ConfigSchema& schema, std::string_view name) {
  return std::any_of(schema.sections().begin(), schema.sections().end(),
                     [&](const auto& s) { return s.name == name; });
}

std::string list_sections(const ConfigSchema& schema) {
  std::string names;
  for (const auto& s : schema.sections()) {
    names += fmt::format("{}[{}]", names.empty() ? "" : ", ", s.name);
  }
  return names;
}

std::string suggest_section(const ConfigSchema& schema, std::string_view name) {
  std::string nearest;
  std::size_t best = 3;
  for (const auto& s : schema.sections()) {
    const std::size_t distance = name.size() > 100 ? best : edit_distance(name, s.name);
    if (distance < best) nearest = s.name, best = distance;
  }
  if (!nearest.empty()) return fmt::format("did you mean [{}]?", nearest);
  return "the sections are " + list_sections(schema);
}

/// What to write instead of the unknown `key`.
std::string suggest_key(const ConfigSchema& schema, std::string_view key) {
  const std::string nearest = nearest_key(schema, key);
  if (!nearest.empty()) return fmt::format("did you mean {}?", nearest);
  const std::size_t dot = key.rfind('.');
  const std::string_view section = dot == std::string_view::npos ? "" : key.substr(0, dot);
  if (!section.empty() && !has_section(schema, section)) {
    return "the sections are " + list_sections(schema);
  }
  std::string names;
  for (const auto& f : schema.fields()) {
    if (f.section == section) names += (names.empty() ? "" : ", ") + f.name;
  }
  if (section.empty()) {
    return fmt::format("outside a section: {}; the sections are {}",
                       names.empty() ? "nothing" : names, list_sections(schema));
  }
  return fmt::format("[{}] has {}", section, names);
}

/// The value as the field's type: whole numbers are numbers too.
std::optional<ConfigValue> convert(const ConfigSchema::Field& field,
                                   const std::optional<ConfigValue>& value) {
  if (!value) return std::nullopt;
  const bool wants_double = std::holds_alternative<double*>(field.target);
  if (wants_double && std::holds_alternative<std::int64_t>(*value)) {
    return static_cast<double>(std::get<std::int64_t>(*value));
  }
  if (field.target.index() != value->index()) return std::nullopt;
  return value;
}

bool in_range(const FieldRules& rules, double v) {
  return std::isfinite(v) && v >= rules.min && v <= rules.max && v > rules.above && v < rules.below;
}

bool follows_rules(const FieldRules& rules, const ConfigValue& value) {
  if (const auto* i = std::get_if<std::int64_t>(&value)) {
    return in_range(rules, static_cast<double>(*i));
  }
  if (const auto* d = std::get_if<double>(&value)) return in_range(rules, *d);
  const auto* text = std::get_if<std::string>(&value);
  if (text == nullptr) return true;
  if (rules.required && text->empty()) return false;
  return rules.one_of.empty() ||
         std::find(rules.one_of.begin(), rules.one_of.end(), *text) != rules.one_of.end();
}

std::string checked(const FieldRules& rules, const ConfigValue& value) {
  if (!rules.check) return "";
  try {
    return rules.check(value);
  } catch (const InputError& error) {
    return error.what();
  }
}

/// `at` is the place and the key, for the message; `where` is remembered.
void assign(ConfigSchema::Field& field, const TomlEntry& entry, const std::string& at,
            const std::string& where) {
  const std::optional<ConfigValue> value = convert(field, entry.value);
  if (!value || !follows_rules(field.rules, *value)) {
    refuse("{}: wanted {}, got {}", at, wanted(field), entry.shown);
  }
  const std::string wrong = checked(field.rules, *value);
  require(wrong.empty(), "{}: {}", at, wrong);
  std::visit(
      [&](auto* target) { *target = std::get<std::remove_pointer_t<decltype(target)>>(*value); },
      field.target);
  field.where = where;
}

}  // namespace

void ConfigSchema::section(std::string name, std::string help) {
  check(!has_section(*this, name), "config: section {} is declared twice", name);
  sections_.push_back({std::move(name), std::move(help)});
}

void ConfigSchema::field(std::string name, Target target, std::string help, FieldRules rules) {
  Field f{sections_.empty() ? "" : sections_.back().name,
          std::move(name),
          std::move(help),
          target,
          std::move(rules),
          "",
          ""};
  f.default_text = mixspan::to_toml(current_value(f));
  check(find(f.key()) == nullptr, "config: key {} is declared twice", f.key());
  fields_.push_back(std::move(f));
}

const ConfigSchema::Field* ConfigSchema::find(std::string_view key) const {
  const auto found =
      std::find_if(fields_.begin(), fields_.end(), [&](const Field& f) { return f.key() == key; });
  return found == fields_.end() ? nullptr : &*found;
}

void ConfigSchema::read_text(std::string_view text, const std::string& where) {
  for (const TomlEntry& entry : parse_toml(text, where)) read_entry(entry, where);
}

void ConfigSchema::read_entry(const TomlEntry& entry, const std::string& where) {
  const std::string place = fmt::format("{}:{}", where, entry.line);
  const std::string at = fmt::format("{}: {}", place, one_line(entry.path));
  if (const Field* field = find(entry.path)) {
    assign(fields_[static_cast<std::size_t>(field - fields_.data())], entry, at, place);
    return;
  }
  const bool known = has_section(*this, entry.path);
  if (entry.kind == TomlEntry::Kind::section && known) return;
  require(!known, "{}: wanted one section, [{}], got {}", at, entry.path,
          entry.kind == TomlEntry::Kind::section_list ? "a list of sections" : entry.shown);
  const bool top = entry.path.find('.') == std::string::npos;
  if (top && entry.kind != TomlEntry::Kind::value) {
    refuse("{}: unknown section; {}", at, suggest_section(*this, entry.path));
  }
  // Inside an unknown section it is the section that is wrong; its own entry says so.
  refuse("{}: unknown key; {}", at, suggest_key(*this, entry.path));
}

void ConfigSchema::read_file(const std::filesystem::path& path) {
  read_text(read_config_text(path), one_line(path.string(), 400));
}

void ConfigSchema::set(const std::string& assignment, const std::string& where) {
  const std::string place = fmt::format("{} {}", where, one_line(assignment, 160));
  const std::size_t equals = assignment.find('=');
  require(equals != std::string::npos && equals > 0, "{}: wanted KEY=VALUE, such as {}", place,
          fields_.empty() ? "key=value" : fields_.back().key() + "=" + fields_.back().default_text);
  const std::string key = assignment.substr(0, equals);
  const std::string text = assignment.substr(equals + 1);
  require(is_utf8(assignment), "{}: wanted text in UTF-8", place);
  require(!has_section(*this, key),
          "{}: {} is a section; wanted one of its keys, as in {}.KEY=VALUE", place, key, key);
  const Field* found = find(key);
  require(found != nullptr, "{}: unknown key; {}", place, suggest_key(*this, key));
  Field& field = fields_[static_cast<std::size_t>(found - fields_.data())];

  TomlEntry raw{.path = key, .line = 0, .kind = {}, .value = text, .shown = {}};
  raw.shown = one_line(mixspan::to_toml(ConfigValue(text)), 60);
  const bool quoted = text.starts_with('"') || text.starts_with('\'');
  const bool is_text = std::holds_alternative<std::string*>(field.target);
  const std::optional<TomlEntry> parsed =
      is_text && !quoted ? std::nullopt : parse_toml_value(text);
  require(!is_text || !quoted || parsed, "{}: the quotes do not make one text of TOML", place);
  assign(field, parsed ? *parsed : raw, place, place);
}

void ConfigSchema::check_required(const std::string& where) const {
  for (const Field& f : fields_) {
    const auto* text = std::get_if<std::string*>(&f.target);
    const bool missing = f.rules.required && text != nullptr && (*text)->empty();
    require(!missing, "{}: {}: missing; wanted {}, such as {} = {}{}", where, f.key(), wanted(f),
            f.name, f.rules.example, f.section.empty() ? "" : " under [" + f.section + "]");
  }
}

std::string ConfigSchema::place_of(std::string_view message, const std::string& otherwise) const {
  const Field* field = find(message.substr(0, message.find_first_of(" :")));
  return field == nullptr || field->where.empty() ? otherwise : field->where;
}

std::string read_config_text(const std::filesystem::path& path) {
  const std::string where = one_line(path.string(), 400);
  require(!std::filesystem::is_directory(path),
          "{}: is a folder; wanted a configuration file in TOML", where);
  std::ifstream file(path, std::ios::binary);
  require(file.is_open(), "{}: cannot be opened: {}", where, std::strerror(errno));
  std::string text(std::size_t{1} << 21, '\0');  // more than parse_toml takes, so that it refuses
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  require(!file.bad(), "{}: cannot be read: {}", where, std::strerror(errno));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

std::string nearest_key(const ConfigSchema& schema, std::string_view key) {
  if (key.size() > 100) return "";
  const std::string_view name = key.substr(key.rfind('.') + 1);
  std::string nearest;
  std::size_t best = std::max<std::size_t>(2, name.size() / 3) + 1;
  for (const auto& f : schema.fields()) {
    // The same name under another section counts as one edit.
    const std::size_t distance =
        std::min(edit_distance(key, f.key()), edit_distance(name, f.name) + 1);
    if (distance < best) nearest = f.key(), best = distance;
  }
  return nearest;
}

}  // namespace mixspan
