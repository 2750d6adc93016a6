// Lists and ranges of a sweep file as their items.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "core/error.h"
#include "core/text.h"
#include "experiments/sweep/grid.h"

namespace mixspan {

namespace {

constexpr const char* kRanges = "{from = 1, to = 8, step = 1} or {from = 1, to = 8, times = 2}";

double number_of(const ConfigValue& value) {
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return static_cast<double>(*whole);
  return std::get<double>(value);
}

bool is_number(const std::optional<ConfigValue>& value) {
  return value &&
         (std::holds_alternative<std::int64_t>(*value) ||
          (std::holds_alternative<double>(*value) && std::isfinite(std::get<double>(*value))));
}

struct Range {
  ConfigValue from, to, by;
  bool geometric = false;
  bool whole() const {
    return std::holds_alternative<std::int64_t>(from) && std::holds_alternative<std::int64_t>(by);
  }
};

Range read_range(const TomlNode& table, const std::string& at) {
  std::optional<ConfigValue> from, to, step, times;
  for (const TomlNode& item : table.items) {
    std::optional<ConfigValue>* const target = item.key == "from"    ? &from
                                               : item.key == "to"    ? &to
                                               : item.key == "step"  ? &step
                                               : item.key == "times" ? &times
                                                                     : nullptr;
    require(target != nullptr, "{}: a range has no {}; wanted {}", at, one_line(item.key), kRanges);
    require(is_number(item.value), "{}: {}: wanted a number, got {}", at, item.key, item.shown);
    *target = item.value;
  }
  require(from && to && !(step && times), "{}: wanted a range such as {}", at, kRanges);
  if (times) return {*from, *to, *times, true};
  return {*from, *to, step.value_or(std::int64_t{1}), false};
}

/// Twelve digits: 0.1 + 2 * 0.1 is 0.3 to the one who wrote the file.
double rounded(double value) {
  const std::string text = fmt::format("{:.12g}", value);
  double result = value;
  std::from_chars(text.data(), text.data() + text.size(), result);
  return result;
}

/// The n-th number of the range; whole numbers stay exact up to 2^53, which is more than any key
/// takes.
double number_at(const Range& range, std::size_t n) {
  const double from = number_of(range.from), by = number_of(range.by);
  const double i = static_cast<double>(n);
  return range.geometric ? from * std::pow(by, i) : from + by * i;
}

std::vector<TomlNode> items_of_range(const TomlNode& table, const std::string& at) {
  const Range range = read_range(table, at);
  const double from = number_of(range.from), to = number_of(range.to), by = number_of(range.by);
  require(from <= to, "{}: from = {} is more than to = {}; wanted at most that", at, from, to);
  if (range.geometric) {
    require(from > 0 && by > 1, "{}: wanted from > 0 and times > 1, got from = {}, times = {}", at,
            from, by);
  } else {
    require(by > 0, "{}: wanted step > 0, got {}", at, by);
  }
  std::vector<TomlNode> items;
  const double end = to + 1e-9 * std::abs(to);
  for (std::size_t n = 0; number_at(range, n) <= end; ++n) {
    require(n < kMostPoints, "{}: a range of more than {} values", at, kMostPoints);
    const double number = number_at(range, n);
    TomlNode item;
    item.line = table.line;
    item.value = range.whole() ? ConfigValue(static_cast<std::int64_t>(std::llround(number)))
                               : ConfigValue(rounded(number));
    item.shown = to_toml(*item.value);
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace

std::vector<TomlNode> items_of(const TomlNode& value, const std::string& key,
                               const std::string& file) {
  const std::string at = place_of(file, value.line, key);
  if (value.kind == TomlNode::Kind::table) return items_of_range(value, at);
  if (value.kind == TomlNode::Kind::value) return {value};
  require(!value.items.empty(), "{}: an empty list; wanted at least one value", at);
  require(value.items.size() <= kMostPoints, "{}: a list of more than {} values", at, kMostPoints);
  return value.items;
}

}  // namespace mixspan
