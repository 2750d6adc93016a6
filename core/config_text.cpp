#include "core/config_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace mixspan {

namespace {

constexpr std::size_t kColumns = 100;

std::string toml_string(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04X}", byte);
    } else {
      out += c;
    }
  }
  return fmt::format("\"{}\"", out);
}

std::string number(double v) {
  std::string text = fmt::format("{}", v);  // the shortest that reads back to the same bits
  const bool whole = text.find_first_of(".en") == std::string::npos;  // n: inf, nan
  return whole ? text + ".0" : text;
}

std::string joined(const std::vector<std::string>& items) {
  return fmt::format("{}", fmt::join(items, ", "));
}

std::vector<std::string> all_quoted(const std::vector<std::string>& texts) {
  std::vector<std::string> out;
  for (const std::string& t : texts) out.push_back(toml_string(t));
  return out;
}

const char* type_name(const ConfigSchema::Field& field) {
  constexpr std::array names{"true or false", "whole number", "number", "text", "list of texts"};
  return names[field.target.index()];
}

/// Every line of `text` from `indent` on, none longer than the terminal where words allow it.
std::string wrapped(std::string_view text, std::size_t indent) {
  std::string out, line;
  const auto flush = [&] {
    if (!line.empty()) out += std::string(indent, ' ') + line + "\n";
    line.clear();
  };
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (indent + line.size() + 1 + end > kColumns) flush();
    if (!line.empty()) line += ' ';
    line += text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  flush();
  return out;
}

std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '|' ? "\\|" : std::string(1, c);
  return out;
}

std::string default_words(const ConfigSchema::Field& f) {
  return f.rules.required ? "required" : fmt::format("`{}`", f.default_text);
}

}  // namespace

std::string to_toml(const ConfigValue& value) {
  if (const auto* b = std::get_if<bool>(&value)) return *b ? "true" : "false";
  if (const auto* i = std::get_if<std::int64_t>(&value)) return fmt::format("{}", *i);
  if (const auto* d = std::get_if<double>(&value)) return number(*d);
  if (const auto* s = std::get_if<std::string>(&value)) return toml_string(*s);
  return fmt::format("[{}]", joined(all_quoted(std::get<std::vector<std::string>>(value))));
}

ConfigValue current_value(const ConfigSchema::Field& field) {
  return std::visit([](const auto* target) { return ConfigValue(*target); }, field.target);
}

std::string allowed(const FieldRules& rules) {
  if (!rules.allowed.empty()) return rules.allowed;
  if (!rules.one_of.empty()) return joined(all_quoted(rules.one_of));
  std::vector<std::string> bounds;
  if (std::isfinite(rules.min) && std::isfinite(rules.max)) {
    bounds.push_back(fmt::format("from {} to {}", rules.min, rules.max));
  } else {
    if (std::isfinite(rules.min)) bounds.push_back(fmt::format(">= {}", rules.min));
    if (std::isfinite(rules.max)) bounds.push_back(fmt::format("<= {}", rules.max));
  }
  if (std::isfinite(rules.above)) bounds.push_back(fmt::format("> {}", rules.above));
  if (std::isfinite(rules.below)) bounds.push_back(fmt::format("< {}", rules.below));
  return fmt::format("{}", fmt::join(bounds, " and "));
}

std::string wanted(const ConfigSchema::Field& field) {
  const std::string rules = allowed(field.rules);
  if (!field.rules.allowed.empty()) return rules;
  if (!field.rules.one_of.empty()) return "one of " + rules;
  const std::string space = rules.empty() ? "" : " ";
  switch (field.target.index()) {
    case 0:
      return "true or false";
    case 1:
      return "a whole number" + space + rules;
    case 2:
      return "a finite number" + space + rules;
    case 3:
      return field.rules.required ? "a text that is not empty" : "a text in quotes";
    default:
      return "a list of texts such as [\"a\", \"b\"]";
  }
}

std::string ConfigSchema::to_toml() const {
  std::string out, section;
  for (const Field& f : fields_) {
    if (f.section != section) out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", f.section);
    section = f.section;
    out += fmt::format("{} = {}\n", f.name, mixspan::to_toml(current_value(f)));
  }
  return out;
}

std::string ConfigSchema::reference_markdown() const {
  std::string out;
  const auto table = [&](std::string_view section) {
    out += "| key | type | default | allowed | meaning |\n|---|---|---|---|---|\n";
    for (const Field& f : fields_) {
      if (f.section != section) continue;
      out += fmt::format("| `{}` | {} | {} | {} | {} |\n", f.name, type_name(f),
                         cell(default_words(f)), cell(allowed(f.rules)), cell(f.help));
    }
  };
  if (!fields_.empty() && fields_.front().section.empty()) {
    out += "## Outside all sections\n\n";
    table("");
  }
  for (const Section& s : sections_) {
    out += fmt::format("{}## [{}]\n\n{}\n\n", out.empty() ? "" : "\n", s.name, s.help);
    table(s.name);
  }
  return out;
}

std::string ConfigSchema::help_text() const {
  std::string out;
  const auto keys = [&](std::string_view section) {
    for (const Field& f : fields_) {
      if (f.section != section) continue;
      const std::string rules = allowed(f.rules);
      const std::string value =
          f.rules.required ? fmt::format("(required, e.g. {})", f.rules.example) : f.default_text;
      out += fmt::format("  {} = {}\n", f.name, value);
      out += wrapped(f.help + (rules.empty() ? "" : " (" + rules + ")"), 6);
    }
  };
  keys("");
  for (const Section& s : sections_) {
    out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", s.name) + wrapped(s.help, 2);
    keys(s.name);
  }
  return out;
}

}  // namespace mixspan
