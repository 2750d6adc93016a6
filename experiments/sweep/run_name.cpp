#include "experiments/sweep/run_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "core/error.h"
#include "core/hash.h"

namespace mixspan {

namespace {

std::string_view last_part(std::string_view key) { return key.substr(key.rfind('.') + 1); }

/// A value as TOML writes it, as a part of a name.
std::string name_part(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '"' || c == '[' || c == ']' || c == ' ') continue;
    const bool kept = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                      std::string_view("-_.+").find(c) != std::string_view::npos;
    out += c == ',' ? '+' : kept ? c : '-';
  }
  return out.empty() ? "empty" : out;
}

}  // namespace

std::string short_key(const ConfigSchema& schema, std::string_view key) {
  const std::string_view last = last_part(key);
  const auto same = std::count_if(schema.fields().begin(), schema.fields().end(),
                                  [&](const auto& field) { return field.name == last; });
  return std::string(same == 1 ? last : key);
}

std::string name_of(const std::vector<Setting>& settings, const ConfigSchema& schema) {
  std::string name, all;
  std::size_t used = 0;
  for (const ConfigSchema::Field& field : schema.fields()) {
    const std::string key = field.key();
    const auto found = std::find_if(settings.begin(), settings.end(),
                                    [&](const Setting& s) { return s.key == key; });
    if (found == settings.end()) continue;
    ++used;
    const std::string_view comma = name.empty() ? "" : ",";
    name += fmt::format("{}{}={}", comma, short_key(schema, key), name_part(found->value));
    all += fmt::format("{}={}\n", key, found->value);
  }
  check(used == settings.size(), "sweep: settings of keys that a run does not have");
  if (name.size() <= kLongestName) return name;
  const std::string hash = to_hex(xxh3_64(all.data(), all.size()));
  return name.substr(0, kLongestName - hash.size() - 1) + "-" + hash;
}

}  // namespace mixspan
