#include "experiments/sweep/study.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/text.h"
#include "experiments/sweep/grid.h"

namespace mixspan {

namespace {

constexpr const char* kFullLayers = "model.full_layers";
constexpr const char* kSpan = "model.span";

/// A kind of study, and the keys that it takes beside `kind`.
struct Kind {
  StudyKind kind;
  std::string_view name;
  std::string_view first, second;  // second: "" where it has one key
  bool has(std::string_view key) const { return key == first || (key == second && !key.empty()); }
  std::string keys() const {
    return second.empty() ? std::string(first) : fmt::format("{} and {}", first, second);
  }
};

constexpr std::array<Kind, 5> kKinds{{{StudyKind::placement, "placement", "counts", "strategies"},
                                      {StudyKind::count, "count", "counts", "strategy"},
                                      {StudyKind::span, "span", "spans", "windows"},
                                      {StudyKind::leave_one_out, "leave-one-out", "placement", ""},
                                      {StudyKind::search, "search", "budget", "start"}}};

std::string names_of_kinds() {
  std::vector<std::string> names;
  for (const Kind& kind : kKinds) names.push_back(fmt::format("\"{}\"", kind.name));
  return fmt::format("{}", fmt::join(names, ", "));
}

/// Reads one [study].
class Reader {
 public:
  Reader(const TomlNode& table, RunKeys& keys) : table_(table), keys_(keys) {}
  Study read();

 private:
  std::string at(const TomlNode& node) const {
    return place_of(keys_.file(), node.line, "study." + node.key);
  }
  const Kind& kind() const;
  void refuse_unknown(const Kind& kind) const;
  const TomlNode& needed(std::string_view key, const char* example) const;
  std::vector<std::int64_t> numbers(const TomlNode& node, std::int64_t least) const;
  std::vector<std::string> texts(const TomlNode& node) const;
  std::vector<std::string> strategies(const TomlNode& node) const;
  std::vector<std::string> spans() const;
  std::string text(const TomlNode& node) const;
  double budget() const;

  const TomlNode& table_;
  RunKeys& keys_;
};

const Kind& Reader::kind() const {
  const TomlNode* node = table_.find("kind");
  require(node != nullptr, "{}: missing; wanted one of {}",
          place_of(keys_.file(), table_.line, "study.kind"), names_of_kinds());
  const std::string name = text(*node);
  const auto found =
      std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& k) { return k.name == name; });
  require(found != kKinds.end(), "{}: wanted one of {}, got {}", at(*node), names_of_kinds(),
          node->shown);
  return *found;
}

void Reader::refuse_unknown(const Kind& kind) const {
  for (const TomlNode& node : table_.items) {
    require(node.key == "kind" || kind.has(node.key),
            "{}: unknown key; a study of kind \"{}\" has {}", at(node), kind.name, kind.keys());
  }
}

const TomlNode& Reader::needed(std::string_view key, const char* example) const {
  const TomlNode* node = table_.find(key);
  if (node == nullptr) {
    refuse("{}: missing; wanted a value, such as {} = {}",
           place_of(keys_.file(), table_.line, fmt::format("study.{}", key)), key, example);
  }
  return *node;
}

std::vector<std::int64_t> Reader::numbers(const TomlNode& node, std::int64_t least) const {
  std::vector<std::int64_t> result;
  for (const TomlNode& item : items_of(node, "study." + node.key, keys_.file())) {
    const auto* n = item.value ? std::get_if<std::int64_t>(&*item.value) : nullptr;
    require(n != nullptr && *n >= least, "{}: wanted whole numbers >= {}, got {}", at(node), least,
            item.shown);
    require(std::find(result.begin(), result.end(), *n) == result.end(),
            "{}: {} is given twice; wanted each value once", at(node), *n);
    result.push_back(*n);
  }
  return result;
}

std::vector<std::string> Reader::texts(const TomlNode& node) const {
  std::vector<std::string> result;
  for (const TomlNode& item : items_of(node, "study." + node.key, keys_.file())) {
    const auto* one = item.value ? std::get_if<std::string>(&*item.value) : nullptr;
    require(one != nullptr, "{}: wanted texts in quotes, got {}", at(node), item.shown);
    require(std::find(result.begin(), result.end(), *one) == result.end(),
            "{}: {} is given twice; wanted each value once", at(node), item.shown);
    result.push_back(*one);
  }
  return result;
}

std::vector<std::string> Reader::strategies(const TomlNode& node) const {
  constexpr std::array<std::string_view, 4> kStrategies{"bottom", "middle", "top", "spaced"};
  std::vector<std::string> result = texts(node);
  for (const std::string& name : result) {
    require(std::find(kStrategies.begin(), kStrategies.end(), name) != kStrategies.end(),
            "{}: wanted bottom, middle, top or spaced, got \"{}\"", at(node), one_line(name));
  }
  return result;
}

std::vector<std::string> Reader::spans() const {
  const TomlNode* windows = table_.find("windows");
  const TomlNode* given = table_.find("spans");
  require((windows == nullptr) != (given == nullptr),
          "{}: wanted one of spans = [\"sliding:64\", \"block:128\"] and windows = [32, 64]",
          place_of(keys_.file(), table_.line, "study"));
  std::vector<std::string> result;
  if (given != nullptr) {
    result = texts(*given);
  } else {
    for (std::int64_t w : numbers(*windows, 1)) result.push_back(fmt::format("sliding:{}", w));
  }
  for (const std::string& span : result) {
    try {
      parse_span(span);
    } catch (const InputError& error) {
      refuse("{}: {}", at(given != nullptr ? *given : *windows), error.what());
    }
  }
  return result;
}

std::string Reader::text(const TomlNode& node) const {
  const auto* one = node.value ? std::get_if<std::string>(&*node.value) : nullptr;
  require(one != nullptr, "{}: wanted a text in quotes, got {}", at(node), node.shown);
  return *one;
}

double Reader::budget() const {
  const TomlNode& node = needed("budget", "0.4");
  const auto* real = node.value ? std::get_if<double>(&*node.value) : nullptr;
  const auto* whole = node.value ? std::get_if<std::int64_t>(&*node.value) : nullptr;
  const double value = real != nullptr ? *real : whole != nullptr ? static_cast<double>(*whole) : 0;
  require(value > 0 && value <= 1,
          "{}: wanted a share of the all-full model's attention, more than 0 and at most 1, got {}",
          at(node), node.shown);
  return value;
}

Study Reader::read() {
  const Kind& kind = this->kind();
  refuse_unknown(kind);
  Study study;
  study.kind = kind.kind;
  study.line = table_.line;
  study.key = kind.kind == StudyKind::span ? kSpan : kFullLayers;
  if (kind.kind == StudyKind::placement) {
    study.counts = numbers(needed("counts", "[1, 2, 4]"), 1);
    const TomlNode* given = table_.find("strategies");
    study.strategies = given != nullptr
                           ? strategies(*given)
                           : std::vector<std::string>{"bottom", "middle", "top", "spaced"};
  } else if (kind.kind == StudyKind::count) {
    study.counts = numbers(needed("counts", "[0, 1, 2, 4]"), 0);
    const TomlNode& given = needed("strategy", "\"bottom\"");
    text(given);
    study.strategies = strategies(given);
  } else if (kind.kind == StudyKind::span) {
    study.spans = spans();
  } else if (kind.kind == StudyKind::leave_one_out) {
    study.placement = text(needed("placement", "\"bottom:4\""));
  } else {
    study.budget = budget();
    const TomlNode* start = table_.find("start");
    study.placement = start != nullptr ? text(*start) : "none";
  }
  return study;
}

std::vector<std::string> placements(const Study& study, std::int64_t layers,
                                    const std::string& at) {
  std::vector<std::string> values{"none"};
  for (std::int64_t n : study.counts) {
    require(n < layers, "{}: {} full layers of {}; wanted fewer: none and all are always run", at,
            n, layers);
    for (const std::string& strategy : study.strategies) {
      values.push_back(fmt::format("{}:{}", strategy, n));
    }
  }
  values.push_back("all");
  return values;
}

std::vector<std::string> left_out(const Study& study, std::int64_t layers) {
  const std::vector<std::int64_t> full = parse_placement(study.placement, layers);
  require(!full.empty(), "study.placement: \"{}\" has no full layer to leave out",
          one_line(study.placement));
  std::vector<std::string> values{study.placement};
  for (std::size_t i = 0; i < full.size(); ++i) {
    std::vector<std::int64_t> rest = full;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
    values.push_back(list_of(rest));
  }
  return values;
}

std::vector<std::string> texts_of(const Study& study, std::int64_t layers, const std::string& at) {
  if (study.kind == StudyKind::placement) return placements(study, layers, at);
  if (study.kind == StudyKind::span) return study.spans;
  if (study.kind == StudyKind::leave_one_out) return left_out(study, layers);
  if (study.kind == StudyKind::search) return {list_of(parse_placement(study.placement, layers))};
  std::vector<std::string> values;
  for (std::int64_t n : study.counts) {
    require(n <= layers, "{}: {} full layers of {}; wanted at most all of them", at, n, layers);
    values.push_back(n == 0 ? "none" : fmt::format("{}:{}", study.strategies.front(), n));
  }
  return values;
}

}  // namespace

Study read_study(const TomlNode& table, RunKeys& keys) { return Reader(table, keys).read(); }

std::vector<KeyValue> study_values(const Study& study, std::int64_t layers,
                                   const std::string& file) {
  std::vector<KeyValue> values;
  try {
    const std::string at = "study.counts";
    for (std::string& text : texts_of(study, layers, at)) {
      values.push_back({study.key, std::move(text), study.line});
    }
  } catch (const InputError& error) {
    refuse("{}:{}: {}", file, study.line, error.what());
  }
  return values;
}

std::string list_of(const std::vector<std::int64_t>& layers) {
  return layers.empty() ? "none" : fmt::format("{}", fmt::join(layers, ","));
}

}  // namespace mixspan
