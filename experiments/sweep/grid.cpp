#include "experiments/sweep/grid.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/text.h"

namespace mixspan {

namespace {

std::string shown(const KeyValue& value) { return one_line(to_toml(value.value), 60); }

/// A list for a key that is a list itself is one value, unless it is a list of lists.
std::vector<TomlNode> values_for(const TomlNode& leaf, RunKeys& keys) {
  const ConfigSchema::Field* field = keys.schema().find(leaf.key);
  const bool list_key =
      field != nullptr && std::holds_alternative<std::vector<std::string>*>(field->target);
  const bool one = list_key && leaf.kind == TomlNode::Kind::list && leaf.value;
  return one ? std::vector{leaf} : items_of(leaf, leaf.key, keys.file());
}

std::vector<KeyValue> read_values(const TomlNode& leaf, RunKeys& keys) {
  std::vector<KeyValue> values;
  for (TomlNode& item : values_for(leaf, keys)) values.push_back(keys.read(leaf.key, item));
  return values;
}

void refuse_repeats(const std::vector<KeyValue>& values, const std::string& file) {
  std::set<ConfigValue> seen;
  for (const KeyValue& value : values) {
    require(seen.insert(value.value).second, "{}: {} is given twice; wanted each value once",
            place_of(file, value.line, value.key), shown(value));
  }
}

}  // namespace

std::vector<Axis> read_grid(const TomlNode& grid, RunKeys& keys) {
  std::vector<Axis> axes;
  for (const TomlNode& leaf : leaves_of(grid, keys.file())) {
    Axis axis{{leaf.key}, {}, leaf.line};
    const std::vector<KeyValue> values = read_values(leaf, keys);
    refuse_repeats(values, keys.file());
    for (const KeyValue& value : values) axis.points.push_back({value});
    axes.push_back(std::move(axis));
  }
  require(!axes.empty(), "{}: wanted at least one key, such as \"train.seed\" = [1, 2, 3]",
          place_of(keys.file(), grid.line, "grid"));
  return axes;
}

Axis read_zip(const TomlNode& zip, RunKeys& keys) {
  const std::string at = place_of(keys.file(), zip.line, "zip");
  Axis axis{{}, {}, zip.line};
  std::vector<std::vector<ConfigValue>> rows;
  for (const TomlNode& leaf : leaves_of(zip, keys.file())) {
    const std::vector<KeyValue> values = read_values(leaf, keys);
    if (axis.keys.empty()) axis.points.resize(values.size());
    if (values.size() != axis.points.size()) {
      refuse("{}: {} values, but {} has {}; keys of a [[zip]] change together",
             place_of(keys.file(), leaf.line, leaf.key), values.size(), axis.keys.front(),
             axis.points.size());
    }
    for (std::size_t i = 0; i < values.size(); ++i) axis.points[i].push_back(values[i]);
    axis.keys.push_back(leaf.key);
  }
  require(axis.keys.size() >= 2, "{}: wanted two or more keys; one alone belongs in [grid]", at);
  std::set<std::vector<ConfigValue>> seen;
  for (const Point& point : axis.points) {
    std::vector<ConfigValue> row;
    for (const KeyValue& value : point) row.push_back(value.value);
    require(seen.insert(row).second, "{}: the values {} = {} and so on are given twice together",
            at, point[0].key, shown(point[0]));
  }
  return axis;
}

std::vector<Point> product(const std::vector<Axis>& axes, const std::string& file) {
  std::size_t size = 1;
  for (const Axis& axis : axes) {
    check(!axis.points.empty(), "sweep: an axis without values");
    size *= axis.points.size();
    require(size <= kMostPoints, "{}: more than {} runs; wanted fewer values", file, kMostPoints);
  }
  std::vector<Point> points{{}};
  for (const Axis& axis : axes) {
    std::vector<Point> longer;
    longer.reserve(points.size() * axis.points.size());
    for (const Point& begin : points) {
      for (const Point& more : axis.points) {
        longer.push_back(begin);
        longer.back().insert(longer.back().end(), more.begin(), more.end());
      }
    }
    points = std::move(longer);
  }
  return points;
}

Filter read_filter(const TomlNode& table, RunKeys& keys) {
  Filter filter;
  filter.line = table.line;
  for (const TomlNode& leaf : leaves_of(table, keys.file())) {
    filter.keys.push_back({leaf.key, read_values(leaf, keys)});
    refuse_repeats(filter.keys.back().values, keys.file());
  }
  require(!filter.keys.empty(),
          "{}:{}: a filter without keys; wanted some, such as \"train.seed\" "
          "= 1",
          keys.file(), table.line);
  return filter;
}

Filters::Filters(std::vector<Filter> only, std::vector<Filter> exclude) {
  const auto count = [](std::vector<Filter>& filters, const char* kind) {
    std::vector<Counted> counted;
    for (Filter& filter : filters) {
      Counted c{std::move(filter), kind, {}, false};
      for (const Filter::Key& key : c.filter.keys) c.met.emplace_back(key.values.size(), false);
      counted.push_back(std::move(c));
    }
    return counted;
  };
  only_ = count(only, "only");
  exclude_ = count(exclude, "exclude");
}

bool Filters::matches(Counted& counted, const RunKeys& keys) {
  bool all = true;
  for (std::size_t k = 0; k < counted.filter.keys.size(); ++k) {
    const Filter::Key& key = counted.filter.keys[k];
    const ConfigValue has = keys.value_of(key.name);
    const auto found = std::find_if(key.values.begin(), key.values.end(),
                                    [&](const KeyValue& v) { return v.value == has; });
    all = all && found != key.values.end();
    if (found != key.values.end()) {
      counted.met[k][static_cast<std::size_t>(found - key.values.begin())] = true;
    }
  }
  counted.matched = counted.matched || all;
  return all;
}

bool Filters::keeps(const RunKeys& keys) {
  bool wanted = only_.empty(), dropped = false;
  // All of them are asked, so that each knows what it met.
  for (Counted& filter : only_) wanted = matches(filter, keys) || wanted;
  for (Counted& filter : exclude_) dropped = matches(filter, keys) || dropped;
  return wanted && !dropped;
}

void Filters::check_used(const std::string& file) const {
  for (const std::vector<Counted>* filters : {&only_, &exclude_}) {
    for (const Counted& c : *filters) {
      for (std::size_t k = 0; k < c.met.size(); ++k) {
        for (std::size_t v = 0; v < c.met[k].size(); ++v) {
          const KeyValue& value = c.filter.keys[k].values[v];
          require(c.met[k][v], "{}: no run has the value {} of this [[{}]]",
                  place_of(file, value.line, value.key), shown(value), c.kind);
        }
      }
      require(c.matched, "{}:{}: this [[{}]] matches no run; wanted one that does", file,
              c.filter.line, c.kind);
    }
  }
}

}  // namespace mixspan
