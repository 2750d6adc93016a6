#include "core/config_toml.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cctype>
#include <sstream>

#include "core/error.h"
#include "core/text.h"

namespace mixspan {

namespace {

constexpr std::size_t kMaxBytes = 1 << 20;
constexpr int kMaxDots = 32;

/// Passes over the text as a TOML reader does, which must know strings and comments.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  /// The line of the first key of more than kMaxDots parts, or 0. toml++ 3.3 makes one nested
  /// table of each part and frees them by recursion, which exhausts the stack at some 10^5.
  int line_of_endless_key() {
    int dots = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"' || c == '\'') {
        skip_string(c);
        continue;
      }
      if (c == '#') at_ = std::min(text_.find('\n', at_), text_.size());
      if (at_ == text_.size()) break;
      if (text_[at_] == '\n') ++line_;
      if (std::string_view("\n=,[]{}").find(text_[at_]) != std::string_view::npos) dots = 0;
      if (c == '.' && ++dots > kMaxDots) return line_;
      ++at_;
    }
    return 0;
  }

 private:
  void skip_string(char quote) {
    const std::string triple(3, quote);
    const bool multi_line = text_.substr(at_).starts_with(triple);
    at_ += multi_line ? 3 : 1;
    while (at_ < text_.size()) {
      if (multi_line ? text_.substr(at_).starts_with(triple) : text_[at_] == quote) {
        at_ += multi_line ? 3 : 1;
        // Up to two quotes may stand right before the closing three.
        for (int i = 0; multi_line && i < 2 && text_.substr(at_).starts_with(quote); ++i) ++at_;
        return;
      }
      if (text_[at_] == '\n' && !multi_line) return;  // not TOML; the parser will say so
      if (text_[at_] == '\\' && quote == '"') ++at_;
      if (at_ < text_.size() && text_[at_] == '\n') ++line_;
      ++at_;
    }
    at_ = text_.size();
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
};

std::string_view line_of(std::string_view text, std::uint32_t line) {
  for (; line > 1 && text.find('\n') != std::string_view::npos; --line) {
    text.remove_prefix(text.find('\n') + 1);
  }
  return text.substr(0, text.find('\n'));
}

std::string_view trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

/// What is wrong, in words for someone who has never read the TOML standard.
std::string explain(const toml::parse_error& error, std::string_view text) {
  std::string_view what = error.description();
  if (what.starts_with("Error while parsing ")) what.remove_prefix(what.find(':') + 2);
  std::string message = one_line(what, 160);
  if (what.find("cannot redefine") != std::string_view::npos) {
    return message + "; each key and each section can be given once";
  }
  if (what.find("unescaped control characters") != std::string_view::npos) {
    return "a text without its closing quote, or with a control character inside";
  }
  const std::string_view line = trim(line_of(text, error.source().begin.line));
  const std::size_t equals = line.find('=');
  if (equals != std::string_view::npos && what.find("utf-8") == std::string_view::npos) {
    const std::string_view value = trim(line.substr(equals + 1));
    const bool word = !value.empty() && (std::isalpha(static_cast<unsigned char>(value[0])) != 0 ||
                                         value[0] == '/' || value[0] == '.');
    if (word && value.find('"') == std::string_view::npos) {
      message += fmt::format("; a text needs quotes: {} = \"{}\"",
                             one_line(trim(line.substr(0, equals)), 60), one_line(value, 60));
    }
  }
  return message;
}

std::string key_part(std::string_view name) {
  const bool bare = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-';
  });
  return bare ? std::string(name) : to_toml(ConfigValue(std::string(name)));
}

std::optional<ConfigValue> value_of(const toml::node& node) {
  if (const auto* v = node.as_boolean()) return v->get();
  if (const auto* v = node.as_integer()) return v->get();
  if (const auto* v = node.as_floating_point()) return v->get();
  if (const auto* v = node.as_string()) return v->get();
  const toml::array* array = node.as_array();
  if (array == nullptr) return std::nullopt;
  std::vector<std::string> texts;
  for (const toml::node& item : *array) {
    const auto* text = item.as_string();
    if (text == nullptr) return std::nullopt;
    texts.push_back(text->get());
  }
  return texts;
}

std::string shown(const toml::node& node, const std::optional<ConfigValue>& value) {
  if (value) return one_line(to_toml(*value), 60);
  if (node.is_table()) return "a section";
  std::ostringstream out;
  if (const auto* array = node.as_array()) {
    out << *array;
  } else {
    node.visit([&](const auto& n) { out << n; });
  }
  std::string text = out.str();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return one_line(text, 60);
}

void flatten(const toml::table& table, const std::string& prefix, std::vector<TomlEntry>& out) {
  for (const auto& [key, node] : table) {
    TomlEntry entry;
    entry.path = prefix + key_part(key.str());
    entry.line = static_cast<int>(key.source().begin.line);
    if (node.is_table()) {
      entry.kind = TomlEntry::Kind::section;
    } else if (node.is_array_of_tables()) {
      entry.kind = TomlEntry::Kind::section_list;
    }
    entry.value = value_of(node);
    entry.shown = shown(node, entry.value);
    const std::string path = entry.path;
    out.push_back(std::move(entry));
    if (const toml::table* inner = node.as_table()) flatten(*inner, path + ".", out);
  }
}

}  // namespace

std::vector<TomlEntry> parse_toml(std::string_view text, const std::string& where) {
  require(text.size() <= kMaxBytes, "{}: larger than 1 MiB, which no configuration is", where);
  const int endless = Scanner(text).line_of_endless_key();
  require(endless == 0, "{}:{}: a key of more than {} parts", where, endless, kMaxDots);
  std::vector<TomlEntry> entries;
  try {
    flatten(toml::parse(text), "", entries);
  } catch (const toml::parse_error& error) {
    refuse("{}:{}: not TOML: {}", where, error.source().begin.line, explain(error, text));
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const TomlEntry& a, const TomlEntry& b) { return a.line < b.line; });
  return entries;
}

std::optional<TomlEntry> parse_toml_value(std::string_view text) {
  try {
    std::vector<TomlEntry> entries = parse_toml("value = " + std::string(text), "");
    const bool one = std::all_of(entries.begin(), entries.end(), [](const TomlEntry& e) {
      return e.path == "value" || e.path.starts_with("value.");
    });
    if (!one || entries.empty()) return std::nullopt;
    return entries.front();
  } catch (const InputError&) {
    return std::nullopt;
  }
}

}  // namespace mixspan
