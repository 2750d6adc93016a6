#include "experiments/sweep/sweep_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "core/text.h"
#include "data/synthetic.h"
#include "experiments/cost/flops.h"
#include "experiments/sweep/run_name.h"
#include "experiments/sweep/search.h"
#include "experiments/sweep/sweep_content.h"

namespace mixspan {

namespace {

constexpr const char* kSeed = "train.seed";

bool is_search_of(const SweepContent& c) { return c.study && c.study->kind == StudyKind::search; }

std::vector<Setting> settings_of(const Point& values) {
  std::vector<Setting> settings;
  for (const KeyValue& v : values) settings.push_back({v.key, to_toml(v.value)});
  return settings;
}

std::string words_of(const std::vector<Setting>& settings) {
  std::vector<std::string> words;
  for (const Setting& s : settings) words.push_back(s.key + " = " + s.value);
  return one_line(fmt::format("{}", fmt::join(words, ", ")), 300);
}

void refuse_equal_names(const std::vector<SweepRun>& runs, const std::string& file) {
  std::unordered_map<std::string_view, const SweepRun*> named;
  for (const SweepRun& run : runs) {
    const auto [other, is_new] = named.try_emplace(run.name, &run);
    require(is_new,
            "{}: two runs have the same name {}: {} and {}; wanted values that differ in "
            "letters or digits",
            file, run.name, words_of(other->second->settings), words_of(run.settings));
  }
}

/// Makes runs of the base and settings.
class Maker {
 public:
  /// `keys` holds the base now.
  explicit Maker(RunKeys& keys) : keys_(keys), base_(keys.config()) {}

  /// What the keys have with these values on the base.
  const RunKeys& apply(const Point& values) {
    keys_.config() = base_;
    for (const KeyValue& value : values) keys_.apply(value);
    return keys_;
  }
  /// The run of the values that were applied last. Throws InputError where it is not valid.
  SweepRun run(const Point& values) {
    SweepRun run{"", keys_.config(), settings_of(values)};
    run.name = name_of(run.settings, keys_.schema());
    const ConfigSchema& schema = keys_.schema();
    schema.check_required(fmt::format("{}: run {}", keys_.file(), run.name));
    try {
      for (const KeyValue& v : values) {
        const bool replaced = v.key == "model.span" || v.key == "model.full_layers";
        require(!replaced || run.config.model.spans.empty(),
                "{} has no effect, because model.spans is set and replaces it", v.key);
      }
      validate(run.config);
    } catch (const InputError& error) {
      refuse("{}: run {}: {}", schema.place_of(error.what(), keys_.file()), run.name, error.what());
    }
    return run;
  }

 private:
  RunKeys& keys_;
  RunConfig base_;
};

/// The product of the sweep's axes with those of [extrapolate] in their places; without what is
/// run.
void add_extrapolated(SweepContent& c, RunKeys& base) {
  std::vector<Axis> axes;
  const auto shares_key = [](const Axis& a, const Axis& b) {
    return std::find_first_of(a.keys.begin(), a.keys.end(), b.keys.begin(), b.keys.end()) !=
           a.keys.end();
  };
  for (const Axis& axis : c.axes) {
    const bool replaced = std::any_of(c.beyond.begin(), c.beyond.end(),
                                      [&](const Axis& other) { return shares_key(axis, other); });
    if (!replaced) axes.push_back(axis);
  }
  axes.insert(axes.end(), c.beyond.begin(), c.beyond.end());
  base.config() = c.base;
  Maker maker(base);
  for (const Point& values : product(axes, c.file)) {
    maker.apply(values);
    SweepRun run = maker.run(values);
    const bool is_run = std::any_of(c.runs.begin(), c.runs.end(), [&](const SweepRun& other) {
      return other.config == run.config;
    });
    if (!is_run) c.extrapolated.push_back(std::move(run));
  }
}

/// The settings of a point together with the study's value, which comes first.
Point with_study(const KeyValue& study, const Point& values) {
  Point all{study};
  all.insert(all.end(), values.begin(), values.end());
  return all;
}

/// The grid's point without what only repeats it.
std::vector<Setting> without_seed(const Point& values) {
  std::vector<Setting> settings = settings_of(values);
  std::erase_if(settings, [](const Setting& s) { return s.key == kSeed; });
  return settings;
}

/// Fills content.runs, and for a search content.searches, from the rest of `content`.
class Expander {
 public:
  Expander(SweepContent& content, RunKeys& base)
      : c_(content), maker_(base), filters_(content.only, content.exclude) {}

  void expand() {
    for (const Point& values : product(c_.axes, c_.file)) add_point(values);
    filters_.check_used(c_.file);
    require(!c_.runs.empty(), "{}: the filters leave no run; wanted at least one", c_.file);
    refuse_equal_names(c_.runs, c_.file);
  }

 private:
  void add_point(const Point& values) {
    if (!c_.study) return add(values);
    const std::int64_t layers = maker_.apply(values).config().model.layers;
    for (const KeyValue& value : study_values(*c_.study, layers, c_.file)) {
      add(with_study(value, values));
    }
  }

  void add(const Point& values) {
    const RunKeys& keys = maker_.apply(values);
    if (!filters_.keeps(keys)) return;
    c_.runs.push_back(maker_.run(values));
    require(c_.runs.size() <= kMostPoints, "{}: more than {} runs; wanted fewer values", c_.file,
            kMostPoints);
    if (is_search_of(c_)) {
      add_to_search({Point(values.begin() + 1, values.end()), c_.runs.back().config});
    }
  }

  void add_to_search(GridPoint point) {
    const std::vector<Setting> group = without_seed(point.values);
    for (std::vector<GridPoint>& members : c_.searches) {
      if (without_seed(members.front().values) == group) return members.push_back(std::move(point));
    }
    c_.searches.push_back({std::move(point)});
  }

  SweepContent& c_;
  Maker maker_;
  Filters filters_;
};

double share_with(const GridPoint& point, const Placement& full) {
  ModelConfig model = point.config.model;
  model.full_layers = list_of(full);
  return attention_share(model);
}

/// A search that cannot take a step is a mistake in its budget, or in its data.
void check_search(const SweepContent& c, const GridPoint& point) {
  const std::string at = fmt::format("{}:{}: study.", c.file, c.study->line);
  const ModelConfig& m = point.config.model;
  const Placement start = parse_placement(m.full_layers, m.layers);
  require(static_cast<std::int64_t>(start.size()) < m.layers,
          "{}start: \"{}\" has all {} layers already; wanted one that can grow", at,
          one_line(c.study->placement), m.layers);
  Placement more;
  for (std::int64_t layer = 0; layer <= static_cast<std::int64_t>(start.size()); ++layer) {
    more.push_back(layer);
  }
  const double least = share_with(point, more);
  require(c.study->budget >= least,
          "{}budget: {} leaves no room for one full layer more than \"{}\" has; wanted at least "
          "{:.4f}",
          at, c.study->budget, one_line(c.study->placement), least + 0.00005);
  const DataConfig& d = point.config.data;
  require(!d.eval.empty() || d.eval_fraction > 0 || is_synthetic(d.train),
          "{}kind: a search needs evaluation data, and data.eval_fraction is 0; wanted data.eval "
          "or a share of data.train",
          at);
}

/// The runs of one search, as far as the losses go.
void add_search(const SweepContent& c, const std::vector<GridPoint>& members, Maker& maker,
                const LossOf& loss, std::vector<SweepRun>& runs) {
  const ModelConfig& model = members.front().config.model;
  const auto values_of = [&](const GridPoint& member, const Placement& full) {
    return with_study({c.study->key, list_of(full), c.study->line}, member.values);
  };
  const auto mean = [&](const Placement& full) -> std::optional<double> {
    double sum = 0;
    for (const GridPoint& member : members) {
      const Point values = values_of(member, full);
      maker.apply(values);
      const std::optional<double> one = loss(maker.run(values));
      if (!one) return std::nullopt;
      sum += *one;
    }
    return sum / static_cast<double>(members.size());
  };
  const auto fits = [&](const Placement& full) {
    return share_with(members.front(), full) <= c.study->budget;
  };
  const Placement start = parse_placement(model.full_layers, model.layers);
  for (const Placement& full : greedy_search({start, model.layers, fits, mean})) {
    for (const GridPoint& member : members) {
      const Point values = values_of(member, full);
      maker.apply(values);
      runs.push_back(maker.run(values));
    }
  }
}

}  // namespace

SweepFile SweepFile::load(const std::filesystem::path& path, const std::vector<std::string>& sets,
                          SweepKind kind) {
  RunKeys base(one_line(path.string(), 400));
  auto content = std::make_shared<SweepContent>(read_sweep(path, sets, kind, base));
  Expander(*content, base).expand();
  if (!content->beyond.empty()) add_extrapolated(*content, base);
  if (is_search_of(*content)) {
    for (const auto& members : content->searches) check_search(*content, members.front());
  }
  SweepFile file;
  file.content_ = std::move(content);
  return file;
}

const std::filesystem::path& SweepFile::path() const { return content_->path; }
const std::string& SweepFile::name() const { return content_->options.name; }
const std::string& SweepFile::text() const { return content_->text; }
const LocalLaunch& SweepFile::local() const { return content_->local; }
const SlurmLaunch& SweepFile::slurm() const { return content_->slurm; }
bool SweepFile::is_search() const { return is_search_of(*content_); }
const ScaleOptions& SweepFile::scale() const { return content_->scale; }
const std::vector<SweepRun>& SweepFile::extrapolated() const { return content_->extrapolated; }

std::vector<SweepRun> SweepFile::runs(const LossOf& loss) const {
  if (!is_search()) return content_->runs;
  RunKeys keys(content_->file);
  keys.config() = content_->base;
  Maker maker(keys);
  std::vector<SweepRun> runs;
  for (const auto& members : content_->searches) {
    add_search(*content_, members, maker, loss, runs);
  }
  refuse_equal_names(runs, content_->file);
  return runs;
}

}  // namespace mixspan
