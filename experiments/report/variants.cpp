#include "experiments/report/variants.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "experiments/cost/flops.h"
#include "experiments/run/config_diff.h"

namespace mixspan {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr const char* kSeed = "train.seed";
constexpr const char* kBias =
    "It is not counted, so the mean of the other seeds looks better than its variant is.";
// What two runs may differ in and still be the same experiment.
std::vector<std::string> passed_over() {
  return {"log.*", "checkpoint.*", "train.max_time", "parallel.timeout_s"};
}

using Values = std::vector<std::pair<std::string, std::string>>;

/// A run that has not begun does not know its corpus's vocabulary; another of the same data does.
void fill_vocabulary(std::vector<RunRecord>& runs) {
  std::map<std::string, std::int64_t> known;
  for (const RunRecord& run : runs) {
    if (run.config && run.config->model.vocab > 0) {
      known.emplace(run.config->data.train, run.config->model.vocab);
    }
  }
  for (RunRecord& run : runs) {
    if (!run.config || run.config->model.vocab > 0) continue;
    const auto found = known.find(run.config->data.train);
    if (found != known.end()) run.config->model.vocab = found->second;
  }
}

/// Fills in `keys` and `common`. What is passed over is among neither where it varies.
void find_keys(Findings& study, const std::vector<Values>& all) {
  const auto first =
      std::find_if(all.begin(), all.end(), [](const Values& v) { return !v.empty(); });
  if (first == all.end()) return;
  for (std::size_t k = 0; k < first->size(); ++k) {
    const auto& [key, value] = (*first)[k];
    const bool varies = std::any_of(all.begin(), all.end(), [&, k](const Values& v) {
      return !v.empty() && v[k].second != (*first)[k].second;
    });
    if (!varies) study.common.emplace_back(key, value);
    if (varies && key != kSeed && !matches_any(key, passed_over())) study.keys.push_back(key);
  }
}

std::string label_of(const std::vector<std::string>& keys, const std::vector<std::string>& values) {
  std::string label;
  for (std::size_t k = 0; k < keys.size(); ++k) {
    if (values[k].empty() || values[k] == "[]") continue;
    if (!label.empty()) label += ", ";
    if (!is_span_key(keys[k])) label += keys[k].substr(keys[k].rfind('.') + 1) + " ";
    label += values[k];
  }
  return label.empty() ? "all runs" : label;
}

/// What both losses of a comparison must have in common beside their seed.
std::string settings_of(const Values& values, const std::vector<std::string>& keys) {
  std::string settings;
  for (const auto& [key, value] : values) {
    if (is_span_key(key) || key == kSeed || std::find(keys.begin(), keys.end(), key) == keys.end())
      continue;
    settings += fmt::format("{}{} = {}", settings.empty() ? "" : ", ", key, plain_value(value));
  }
  return settings;
}

void count_costs(Variant& v, const ModelConfig& model) {
  v.attention_share = attention_share(model);
  const ModelFlops flops =
      count_flops(model, model.context, std::max<std::int64_t>(1, model.vocab));
  v.flops_per_token = model.vocab > 0 ? flops.model() / static_cast<double>(model.context) : kNone;
  for (const AnySpan& span : layer_spans(model)) {
    v.full.push_back(span.pairs(model.context) == AnySpan(FullSpan{}).pairs(model.context));
    v.spans.push_back(v.full.back() ? "full" : span.str());
  }
}

/// Of the values that are there; empty unless every counted run has one.
template <class Value>
std::optional<Estimate> over_seeds(const Variant& v, const Findings& study, const Value& value) {
  std::vector<double> values;
  for (const std::size_t r : v.counted) {
    const std::optional<double> one = value(*study.runs[r].last_eval);
    if (!one) return {};
    values.push_back(*one);
  }
  if (values.empty()) return {};
  return mean_estimate(values);
}

double mean_of_known(const std::vector<double>& values) {
  double sum = 0;
  std::size_t n = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    ++n;
  }
  return n == 0 ? kNone : sum / static_cast<double>(n);
}

void count_runs(Variant& v, Findings& study) {
  std::map<std::int64_t, std::size_t> of_seed;
  std::vector<double> speed, time;
  v.memory_bytes = kNone;
  for (const std::size_t r : v.runs) {
    const RunRecord& run = study.runs[r];
    speed.push_back(run.tokens_per_s);
    time.push_back(run.step_ms);
    v.memory_bytes = std::fmax(v.memory_bytes, run.memory_bytes);
    if (!run.finished) continue;
    if (!run.last_eval) continue;  // said of all of them at once
    if (!std::isfinite(run.last_eval->loss)) {
      study.notes.push_back(
          fmt::format("{} is done but diverged: its last evaluation loss is not "
                      "finite. {}",
                      run.name, kBias));
      continue;
    }
    const auto [first, is_new] = of_seed.try_emplace(run.config->train.seed, r);
    if (is_new) {
      v.counted.push_back(r);
    } else {
      study.notes.push_back(fmt::format("{} repeats the config and seed of {}: it is not counted.",
                                        run.name, study.runs[first->second].name));
    }
  }
  v.tokens_per_s = mean_of_known(speed);
  v.step_ms = mean_of_known(time);
  v.loss = over_seeds(v, study, [](const EvalMetrics& m) { return std::optional(m.loss); });
  v.bits_per_byte = over_seeds(v, study, [](const EvalMetrics& m) { return m.bits_per_byte; });
  v.accuracy = over_seeds(v, study, [](const EvalMetrics& m) { return m.accuracy; });
  if (v.loss) {
    v.perplexity =
        Estimate{std::exp(v.loss->value), std::exp(v.loss->low), std::exp(v.loss->high), v.loss->n};
  }
}

/// Finds the models that several variants are, whose comparisons would count twice.
void find_same_models(Findings& study) {
  std::map<std::pair<std::string, std::vector<std::string>>, std::size_t> known;
  for (std::size_t i = 0; i < study.variants.size(); ++i) {
    const Variant& v = study.variants[i];
    std::size_t& one = known.try_emplace({v.settings, v.spans}, i).first->second;
    if (v.counted.size() > study.variants[one].counted.size()) one = i;
  }
  for (std::size_t i = 0; i < study.variants.size(); ++i) {
    Variant& v = study.variants[i];
    v.same_as = known.at({v.settings, v.spans});
    if (v.same_as == i) continue;
    study.notes.push_back(fmt::format(
        "{} is the same model as {}: the other one stands for both in comparisons and effects.",
        v.label, study.variants[v.same_as].label));
  }
}

/// The all-full variant to hold v against: of the same settings, and of v's span where there is
/// one.
std::optional<std::size_t> baseline_of(const Findings& study, const Variant& v) {
  std::optional<std::size_t> best;
  const auto span_of = [&](const Variant& x) { return study.runs[x.runs[0]].config->model.span; };
  for (std::size_t i = 0; i < study.variants.size(); ++i) {
    const Variant& other = study.variants[i];
    if (!other.all_full() || other.settings != v.settings || other.counted.empty()) continue;
    if (!best || (span_of(other) == span_of(v) && span_of(study.variants[*best]) != span_of(v))) {
      best = i;
    }
  }
  return best;
}

void compare(Findings& study) {
  std::vector<double> p;
  for (std::size_t i = 0; i < study.variants.size(); ++i) {
    Variant& v = study.variants[i];
    if (v.all_full() || v.same_as != i) continue;
    const std::optional<std::size_t> baseline = baseline_of(study, v);
    if (!baseline) continue;
    const PairedLosses losses = paired_losses(study, study.variants[*baseline], v);
    if (losses.a.empty()) continue;
    v.against_full = Comparison{*baseline, paired_test(losses.a, losses.b), kNone};
    p.push_back(v.against_full->test.p);
  }
  adjust_for_many(p);
  std::size_t next = 0;
  for (Variant& v : study.variants) {
    if (v.against_full) v.against_full->adjusted_p = p[next++];
  }
}

void note_runs_left_out(Findings& study) {
  constexpr std::size_t kNowhere = std::string::npos;
  std::map<std::string, int> states;
  int unevaluated = 0;
  for (const RunRecord& run : study.runs) {
    if (!run.config)
      study.notes.push_back(
          fmt::format("{} has no config that can be read: {}", run.name, run.problem));
    if (!run.finished) ++states[run.state];
    if (run.finished && !run.last_eval) ++unevaluated;
    if (run.state == name_of(RunState::failed) && run.problem.find("not finite") != kNowhere) {
      study.notes.push_back(fmt::format("{} diverged: {}. {}", run.name, run.problem, kBias));
    }
  }
  if (unevaluated > 0) {
    study.notes.push_back(
        fmt::format("{} run{} done but evaluated nothing (nothing was held out, data.eval_fraction "
                    "or data.eval): {} no loss to compare.",
                    unevaluated, unevaluated == 1 ? " is" : "s are",
                    unevaluated == 1 ? "it has" : "they have"));
  }
  for (const auto& [state, n] : states) {
    const char* verb = state == "failed" ? "" : n == 1 ? "is " : "are ";
    study.notes.push_back(fmt::format("{} run{} {}{}: listed below, not counted in means.", n,
                                      n == 1 ? "" : "s", verb, state));
  }
}

}  // namespace

bool is_span_key(const std::string& key) {
  return key == "model.span" || key == "model.full_layers" || key == "model.spans";
}

PairedLosses paired_losses(const Findings& study, const Variant& a, const Variant& b) {
  PairedLosses losses;
  for (const std::size_t i : a.counted) {
    for (const std::size_t j : b.counted) {
      if (study.runs[i].config->train.seed != study.runs[j].config->train.seed) continue;
      losses.a.push_back(study.runs[i].last_eval->loss);
      losses.b.push_back(study.runs[j].last_eval->loss);
    }
  }
  return losses;
}

std::string plain_value(const std::string& toml) {
  const bool text = toml.size() >= 2 && toml.front() == '"' && toml.back() == '"';
  return text ? toml.substr(1, toml.size() - 2) : toml;
}

std::vector<std::pair<std::string, std::string>> config_values(const RunConfig& config) {
  RunConfig copy = config;
  const ConfigSchema schema = schema_of(copy);
  Values values;
  for (const ConfigSchema::Field& field : schema.fields()) {
    const ConfigValue value =
        std::visit([](const auto* target) { return ConfigValue(*target); }, field.target);
    values.emplace_back(field.key(), to_toml(value));
  }
  return values;
}

std::size_t Findings::comparisons() const {
  return static_cast<std::size_t>(std::count_if(
      variants.begin(), variants.end(),
      [](const Variant& v) { return v.against_full && !std::isnan(v.against_full->test.p); }));
}

std::vector<std::vector<std::size_t>> Findings::groups() const {
  std::vector<std::vector<std::size_t>> all;
  for (std::size_t i = 0; i < variants.size(); ++i) {
    if (i == 0 || variants[i].settings != variants[i - 1].settings) all.emplace_back();
    all.back().push_back(i);
  }
  return all;
}

Findings make_findings(std::vector<RunRecord> runs) {
  Findings study;
  fill_vocabulary(runs);
  study.runs = std::move(runs);
  std::vector<Values> all;
  for (const RunRecord& run : study.runs) {
    all.push_back(run.config ? config_values(*run.config) : Values{});
  }
  find_keys(study, all);
  std::set<std::int64_t> seeds;
  std::map<std::vector<std::string>, std::size_t> known;
  for (std::size_t r = 0; r < study.runs.size(); ++r) {
    if (!study.runs[r].config) continue;
    seeds.insert(study.runs[r].config->train.seed);
    std::vector<std::string> values;
    for (const auto& [key, value] : all[r]) {
      if (std::find(study.keys.begin(), study.keys.end(), key) != study.keys.end()) {
        values.push_back(plain_value(value));
      }
    }
    const auto [found, is_new] = known.try_emplace(values, study.variants.size());
    if (is_new) {
      Variant& v = study.variants.emplace_back();
      v.values = values;
      v.label = label_of(study.keys, values);
      v.settings = settings_of(all[r], study.keys);
      count_costs(v, study.runs[r].config->model);
    }
    study.variants[found->second].runs.push_back(r);
  }
  for (const std::int64_t seed : seeds) study.seeds.push_back(std::to_string(seed));
  for (Variant& v : study.variants) {
    std::stable_sort(v.runs.begin(), v.runs.end(), [&](std::size_t a, std::size_t b) {
      return study.runs[a].config->train.seed < study.runs[b].config->train.seed;
    });
    count_runs(v, study);
  }
  std::stable_sort(study.variants.begin(), study.variants.end(),
                   [](const Variant& a, const Variant& b) {
                     if (a.settings != b.settings) return natural_less(a.settings, b.settings);
                     if (a.attention_share != b.attention_share) {
                       return a.attention_share > b.attention_share;
                     }
                     return natural_less(a.label, b.label);
                   });
  find_same_models(study);
  compare(study);
  note_runs_left_out(study);
  return study;
}

}  // namespace mixspan
