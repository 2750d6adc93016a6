#include "experiments/sweep/run_keys.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "core/config_text.h"
#include "core/error.h"
#include "core/text.h"

namespace mixspan {

namespace {

void add_leaves(const TomlNode& table, const std::string& prefix, const std::string& file,
                std::vector<TomlNode>& out) {
  for (const TomlNode& node : table.items) {
    const std::string key = prefix + node.key;
    require(!node.of_tables, "{}: wanted a value, got a list of sections",
            place_of(file, node.line, key));
    if (node.kind == TomlNode::Kind::table && !node.is_inline) {
      add_leaves(node, key + ".", file, out);
      continue;
    }
    out.push_back(node);
    out.back().key = key;
  }
}

}  // namespace

std::string place_of(const std::string& file, int line, std::string_view key) {
  return fmt::format("{}:{}: {}", file, line, one_line(key));
}

std::vector<TomlNode> leaves_of(const TomlNode& table, const std::string& file) {
  std::vector<TomlNode> leaves;
  add_leaves(table, "", file, leaves);
  std::stable_sort(leaves.begin(), leaves.end(), [](const TomlNode& a, const TomlNode& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
  std::unordered_map<std::string_view, int> lines;
  for (const TomlNode& leaf : leaves) {
    const auto [first, is_new] = lines.try_emplace(leaf.key, leaf.line);
    require(is_new, "{}: given twice, also in line {}", place_of(file, leaf.line, leaf.key),
            first->second);
  }
  return leaves;
}

RunKeys::RunKeys(std::string file) : file_(std::move(file)), schema_(schema_of(config_)) {}

void RunKeys::assign(const std::string& key, const TomlNode& node) {
  const bool table = node.kind == TomlNode::Kind::table;
  schema_.read_entry({.path = key,
                      .line = node.line,
                      .kind = TomlEntry::Kind::value,
                      .value = node.value,
                      .shown = table ? "a table in braces" : node.shown},
                     file_);
}

KeyValue RunKeys::read(const std::string& key, const TomlNode& node) {
  assign(key, node);
  return {key, value_of(key), node.line};
}

void RunKeys::apply(const KeyValue& value) {
  schema_.read_entry({.path = value.key,
                      .line = value.line,
                      .kind = TomlEntry::Kind::value,
                      .value = value.value,
                      .shown = to_toml(value.value)},
                     file_);
}

ConfigValue RunKeys::value_of(std::string_view key) const {
  const ConfigSchema::Field* field = schema_.find(key);
  check(field != nullptr, "sweep: no key {}", key);
  return current_value(*field);
}

}  // namespace mixspan
