// The grid of a sweep: which values its keys take, and which points of their product stay.
#pragma once

#include <string>
#include <vector>

#include "experiments/sweep/run_keys.h"

namespace mixspan {

/// One value for each of some keys.
using Point = std::vector<KeyValue>;

/// One dimension: keys that change together.
struct Axis {
  std::vector<std::string> keys;
  std::vector<Point> points;
  int line = 0;
};

/// Runs that a product may have before filters; more is a mistake.
inline constexpr std::size_t kMostPoints = 20000;

/// The items that a value of a sweep file stands for: a list's items, {from, to, step} and {from,
/// to, times} as the numbers they name (both ends included), anything else itself. At least one,
/// at most kMostPoints. Throws InputError.
std::vector<TomlNode> items_of(const TomlNode& value, const std::string& key,
                               const std::string& file);

/// [grid] as one axis for each key, in the order of the file. Throws InputError for unknown keys,
/// wrong values, empty lists and values given twice.
std::vector<Axis> read_grid(const TomlNode& grid, RunKeys& keys);
/// A [[zip]]: one axis of all its keys, whose lists are of one length.
Axis read_zip(const TomlNode& zip, RunKeys& keys);

/// Every point of every axis with every other; the last axis changes fastest. No axis: one point
/// without keys. Throws InputError for more than kMostPoints.
std::vector<Point> product(const std::vector<Axis>& axes, const std::string& file);

/// A [[exclude]] or [[only]].
struct Filter {
  struct Key {
    std::string name;
    std::vector<KeyValue> values;
  };
  std::vector<Key> keys;
  int line = 0;
};
Filter read_filter(const TomlNode& table, RunKeys& keys);

/// The filters of a sweep, which remember what they met.
class Filters {
 public:
  Filters(std::vector<Filter> only, std::vector<Filter> exclude);
  /// Whether the run that `keys` holds stays: it matches one of `only`, where there is one, and
  /// none of `exclude`. A run matches where each key has one of its values.
  bool keeps(const RunKeys& keys);
  /// After the last run: throws InputError for a value that no run had, and for a filter that no
  /// run matched.
  void check_used(const std::string& file) const;

 private:
  struct Counted {
    Filter filter;
    const char* kind;
    std::vector<std::vector<bool>> met;  // [key][value]
    bool matched = false;
  };
  static bool matches(Counted& counted, const RunKeys& keys);
  std::vector<Counted> only_, exclude_;
};

}  // namespace mixspan
