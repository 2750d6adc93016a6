#include "experiments/run/config_diff.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <utility>

namespace mixspan {

namespace {

using Entries = std::vector<std::pair<std::string, std::string>>;  // key, value, in order

std::string_view trim(std::string_view s) {
  const auto begin = s.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return s.substr(begin, s.find_last_not_of(" \t\r") - begin + 1);
}

// What a line holds outside of quotes.
struct Scan {
  std::size_t comment = std::string_view::npos, equals = std::string_view::npos;
  int depth = 0;  // brackets opened minus closed
};

Scan scan(std::string_view line) {
  Scan found;
  char quote = '\0';
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != '\0') {
      if (c == '\\' && quote == '"') ++i;
      if (c == quote) quote = '\0';
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '#') {
      found.comment = i;
      return found;
    } else if (c == '=' && found.equals == std::string_view::npos) {
      found.equals = i;
    } else if (c == '[' || c == '{') {
      ++found.depth;
    } else if (c == ']' || c == '}') {
      --found.depth;
    }
  }
  return found;
}

// Enough of TOML for what the program writes itself: tables, and a value on one or more lines.
Entries entries_of(std::string_view toml) {
  Entries entries;
  std::string table;
  std::map<std::string, int> repeats;  // of [[table]]
  int open_brackets = 0;
  while (!toml.empty()) {
    const std::size_t end = toml.find('\n');
    const std::string_view whole = toml.substr(0, end);
    toml.remove_prefix(end == std::string_view::npos ? toml.size() : end + 1);
    const Scan found = scan(whole);
    const std::string_view line = trim(whole.substr(0, found.comment));
    if (line.empty()) continue;
    if (open_brackets > 0 && !entries.empty()) {
      entries.back().second.append(" ").append(line);
      open_brackets += found.depth;
    } else if (line.starts_with("[[") && line.ends_with("]]")) {
      const std::string name(trim(line.substr(2, line.size() - 4)));
      table = fmt::format("{}[{}]", name, repeats[name]++);
    } else if (line.front() == '[' && line.back() == ']') {
      table = trim(line.substr(1, line.size() - 2));
    } else {
      const std::size_t equals = std::min(found.equals, whole.size());
      const std::string key(trim(whole.substr(0, equals)));
      const std::string_view value =
          equals < whole.size() ? trim(whole.substr(0, found.comment).substr(equals + 1)) : "";
      entries.emplace_back(table.empty() ? key : fmt::format("{}.{}", table, key), value);
      open_brackets = std::max(found.depth, 0);
    }
  }
  return entries;
}

}  // namespace

std::vector<ConfigDifference> config_differences(std::string_view old_toml,
                                                 std::string_view new_toml) {
  const Entries old_entries = entries_of(old_toml), new_entries = entries_of(new_toml);
  const std::map<std::string, std::string> old_values(old_entries.begin(), old_entries.end());
  const std::map<std::string, std::string> new_values(new_entries.begin(), new_entries.end());
  std::vector<ConfigDifference> differences;
  for (const auto& [key, value] : new_entries) {
    const auto old_value = old_values.find(key);
    if (old_value == old_values.end()) {
      differences.push_back({key, "", value});
    } else if (old_value->second != value) {
      differences.push_back({key, old_value->second, value});
    }
  }
  for (const auto& [key, value] : old_entries) {
    if (!new_values.contains(key)) differences.push_back({key, value, ""});
  }
  return differences;
}

bool matches_any(std::string_view key, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](std::string_view pattern) {
    if (!pattern.ends_with(".*")) return key == pattern;
    return key.starts_with(pattern.substr(0, pattern.size() - 1));
  });
}

}  // namespace mixspan
