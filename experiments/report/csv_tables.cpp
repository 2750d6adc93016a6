#include "experiments/report/csv_tables.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace mixspan {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// Lines of fields; the first names the columns.
class CsvText {
 public:
  void field(std::string_view text) {
    if (!at_begin_) out_ += ',';
    at_begin_ = false;
    if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
      out_ += text;
      return;
    }
    out_ += '"';
    for (const char c : text) out_ += c == '"' ? std::string("\"\"") : std::string(1, c);
    out_ += '"';
  }
  void number(double value) { field(std::isfinite(value) ? fmt::format("{}", value) : ""); }
  void count(std::size_t value) { field(std::to_string(value)); }
  void estimate(const std::optional<Estimate>& e) {
    number(e ? e->value : kNone);
    number(e ? e->low : kNone);
    number(e ? e->high : kNone);
  }
  void end_line() {
    out_ += "\r\n";
    at_begin_ = true;
  }
  void header(const std::vector<std::string>& names) {
    for (const std::string& name : names) field(name);
    end_line();
  }
  const std::string& text() const { return out_; }

 private:
  std::string out_;
  bool at_begin_ = true;
};

std::vector<std::string> with_keys(std::vector<std::string> before, const Findings& study,
                                   const std::vector<std::string>& after) {
  before.insert(before.end(), study.keys.begin(), study.keys.end());
  before.insert(before.end(), after.begin(), after.end());
  return before;
}

std::string variants_csv(const Findings& study) {
  CsvText csv;
  csv.header(with_keys({"variant"}, study,
                       {"same_as",
                        "runs",
                        "n",
                        "loss",
                        "loss_low",
                        "loss_high",
                        "perplexity",
                        "perplexity_low",
                        "perplexity_high",
                        "bits_per_byte",
                        "bits_per_byte_low",
                        "bits_per_byte_high",
                        "accuracy",
                        "accuracy_low",
                        "accuracy_high",
                        "attention_share",
                        "flops_per_token",
                        "tokens_per_s",
                        "step_ms",
                        "memory_bytes",
                        "baseline",
                        "pairs",
                        "difference",
                        "difference_low",
                        "difference_high",
                        "p",
                        "p_holm"}));
  for (const Variant& v : study.variants) {
    csv.field(v.label);
    for (const std::string& value : v.values) csv.field(value);
    const Variant& same = study.variants[v.same_as];
    csv.field(&same == &v ? "" : same.label);
    csv.count(v.runs.size());
    csv.count(v.counted.size());
    for (const auto& e : {v.loss, v.perplexity, v.bits_per_byte, v.accuracy}) csv.estimate(e);
    for (const double x :
         {v.attention_share, v.flops_per_token, v.tokens_per_s, v.step_ms, v.memory_bytes}) {
      csv.number(x);
    }
    if (v.against_full) {
      const Comparison& c = *v.against_full;
      csv.field(study.variants[c.baseline].label);
      csv.count(static_cast<std::size_t>(c.test.difference.n));
      csv.estimate(c.test.difference);
      csv.number(c.test.p);
      csv.number(c.adjusted_p);
    } else {
      for (int i = 0; i < 7; ++i) csv.field("");
    }
    csv.end_line();
  }
  return csv.text();
}

std::string runs_csv(const Findings& study) {
  std::vector<const Variant*> of_run(study.runs.size());
  std::vector<bool> counted(study.runs.size());
  for (const Variant& v : study.variants) {
    for (const std::size_t r : v.runs) of_run[r] = &v;
    for (const std::size_t r : v.counted) counted[r] = true;
  }
  CsvText csv;
  csv.header({"run", "variant", "seed", "state", "counted", "step", "steps", "restarts", "loss",
              "perplexity", "bits_per_byte", "accuracy", "tokens_per_s", "step_ms", "memory_bytes",
              "build", "problem"});
  for (std::size_t r = 0; r < study.runs.size(); ++r) {
    const RunRecord& run = study.runs[r];
    csv.field(run.name);
    csv.field(of_run[r] ? of_run[r]->label : "");
    csv.field(run.config ? std::to_string(run.config->train.seed) : "");
    csv.field(run.state);
    csv.field(counted[r] ? "yes" : "no");
    csv.field(run.status ? std::to_string(run.status->step) : "");
    csv.field(run.config ? std::to_string(run.config->train.steps) : "");
    csv.field(run.status ? std::to_string(run.status->restarts) : "");
    const auto& last = run.last_eval;
    csv.number(last ? last->loss : kNone);
    csv.number(last ? std::exp(last->loss) : kNone);
    csv.number(last ? last->bits_per_byte.value_or(kNone) : kNone);
    csv.number(last ? last->accuracy.value_or(kNone) : kNone);
    for (const double x : {run.tokens_per_s, run.step_ms, run.memory_bytes}) csv.number(x);
    csv.field(run.build);
    csv.field(run.problem);
    csv.end_line();
  }
  return csv.text();
}

std::string layers_csv(const Findings& study, const std::vector<EffectFamily>& families) {
  CsvText csv;
  csv.header({"family", "layer", "with", "without", "pairs", "gain", "gain_low", "gain_high"});
  for (const EffectFamily& family : families) {
    for (const LayerEffect& e : family.effects) {
      csv.field(name_of(family, study));
      csv.field(std::to_string(e.layer));
      csv.field(study.variants[e.with].label);
      csv.field(study.variants[e.without].label);
      csv.count(static_cast<std::size_t>(e.gain.n));
      csv.estimate(e.gain);
      csv.end_line();
    }
  }
  return csv.text();
}

std::string positions_csv(const Findings& study, const std::vector<PositionEstimate>& positions) {
  CsvText csv;
  csv.header({"variant", "begin", "end", "n", "loss", "loss_low", "loss_high"});
  for (const PositionEstimate& p : positions) {
    csv.field(study.variants[p.variant].label);
    csv.field(std::to_string(p.begin));
    csv.field(std::to_string(p.end));
    csv.count(static_cast<std::size_t>(p.loss.n));
    csv.estimate(p.loss);
    csv.end_line();
  }
  return csv.text();
}

std::string scaling_csv(const std::vector<ScalingLine>& lines) {
  CsvText csv;
  csv.header({"line", "context", "us_per_token", "memory_bytes", "time_exponent",
              "time_exponent_low", "time_exponent_high", "memory_exponent", "memory_exponent_low",
              "memory_exponent_high"});
  for (const ScalingLine& line : lines) {
    for (const ScalingPoint& p : line.points) {
      csv.field(line.label);
      for (const double x : {p.context, p.us_per_token, p.memory_bytes}) csv.number(x);
      csv.estimate(line.time.slope);
      csv.estimate(line.memory.slope);
      csv.end_line();
    }
  }
  return csv.text();
}

}  // namespace

std::vector<CsvTable> make_csv_tables(const Findings& study,
                                      const std::vector<EffectFamily>& families,
                                      const std::vector<ScalingLine>& lines) {
  std::vector<CsvTable> tables{{"variants.csv", variants_csv(study)},
                               {"runs.csv", runs_csv(study)}};
  if (!families.empty()) tables.push_back({"layers.csv", layers_csv(study, families)});
  const std::vector<PositionEstimate> positions = losses_by_position(study);
  if (!positions.empty()) tables.push_back({"positions.csv", positions_csv(study, positions)});
  if (!lines.empty()) tables.push_back({"scaling.csv", scaling_csv(lines)});
  return tables;
}

}  // namespace mixspan
