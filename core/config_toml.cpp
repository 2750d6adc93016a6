#include "core/config_toml.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cctype>
#include <sstream>
#include <utility>

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
  return std::nullopt;
}

/// A list of texts is a value too, and so is an empty list.
std::optional<ConfigValue> texts_of(const TomlNode& list) {
  std::vector<std::string> texts;
  for (const TomlNode& item : list.items) {
    const auto* text = item.value ? std::get_if<std::string>(&*item.value) : nullptr;
    if (text == nullptr) return std::nullopt;
    texts.push_back(*text);
  }
  return texts;
}

std::string shown_value(const toml::node& node, const std::optional<ConfigValue>& value) {
  if (value) return one_line(to_toml(*value), 60);
  std::ostringstream out;
  node.visit([&](const auto& n) { out << n; });
  return one_line(out.str(), 60);
}

/// No more of it than a message shows: lists may be long, and lie in each other.
std::string shown_list(const TomlNode& list) {
  std::string text = list.value ? "[" : "[ ";
  for (const TomlNode& item : list.items) {
    if (text.size() > 2) text += ", ";
    text += item.shown;
    if (text.size() > 60) break;
  }
  return one_line(text + (list.value ? "]" : " ]"), 60);
}

TomlNode node_of(const toml::node& node, std::string_view key, const toml::source_position& at) {
  TomlNode out;
  out.key = key;
  out.line = static_cast<int>(at.line);
  out.column = static_cast<int>(at.column);
  if (const toml::table* table = node.as_table()) {
    out.kind = TomlNode::Kind::table;
    out.is_inline = table->is_inline();
    for (const auto& [name, inner] : *table) {
      out.items.push_back(node_of(inner, name.str(), name.source().begin));
    }
    // The library sorts by name.
    std::stable_sort(out.items.begin(), out.items.end(), [](const auto& a, const auto& b) {
      return std::pair(a.line, a.column) < std::pair(b.line, b.column);
    });
    out.shown = "a section";
  } else if (const toml::array* array = node.as_array()) {
    out.kind = TomlNode::Kind::list;
    out.of_tables = array->is_array_of_tables();
    for (const toml::node& item : *array) {
      out.items.push_back(node_of(item, "", item.source().begin));
    }
    out.value = texts_of(out);
    out.shown = shown_list(out);
  } else {
    out.value = value_of(node);
    out.shown = shown_value(node, out.value);
  }
  return out;
}

void flatten(const TomlNode& table, const std::string& prefix, std::vector<TomlEntry>& out) {
  for (const TomlNode& node : table.items) {
    TomlEntry entry{.path = prefix + key_part(node.key),
                    .line = node.line,
                    .kind = TomlEntry::Kind::value,
                    .value = node.value,
                    .shown = node.shown};
    if (node.kind == TomlNode::Kind::table) entry.kind = TomlEntry::Kind::section;
    if (node.of_tables) entry.kind = TomlEntry::Kind::section_list;
    const std::string path = entry.path;
    out.push_back(std::move(entry));
    if (node.kind == TomlNode::Kind::table) flatten(node, path + ".", out);
  }
}

}  // namespace

const TomlNode* TomlNode::find(std::string_view name) const {
  const auto found =
      std::find_if(items.begin(), items.end(), [&](const TomlNode& n) { return n.key == name; });
  return kind != Kind::table || found == items.end() ? nullptr : &*found;
}

TomlNode parse_toml_tree(std::string_view text, const std::string& where) {
  require(text.size() <= kMaxBytes, "{}: larger than 1 MiB, which no configuration is", where);
  const int endless = Scanner(text).line_of_endless_key();
  require(endless == 0, "{}:{}: a key of more than {} parts", where, endless, kMaxDots);
  try {
    return node_of(toml::parse(text), "", {1, 1});
  } catch (const toml::parse_error& error) {
    refuse("{}:{}: not TOML: {}", where, error.source().begin.line, explain(error, text));
  }
}

std::vector<TomlEntry> toml_entries(const TomlNode& table, const std::string& prefix) {
  std::vector<TomlEntry> entries;
  flatten(table, prefix, entries);
  std::stable_sort(entries.begin(), entries.end(),
                   [](const TomlEntry& a, const TomlEntry& b) { return a.line < b.line; });
  return entries;
}

std::vector<TomlEntry> parse_toml(std::string_view text, const std::string& where) {
  return toml_entries(parse_toml_tree(text, where));
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
