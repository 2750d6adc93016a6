// What a folder of runs says: which settings were tried, what each came to over its seeds, and how
// far it is from the model whose layers all are full.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/statistics.h"
#include "experiments/report/run_record.h"

namespace mixspan {

/// A variant against the all-full one of the same settings, over the seeds that both have.
struct Comparison {
  std::size_t baseline = 0;  ///< among Findings::variants
  PairedTest test;           ///< this variant's loss minus the baseline's
  double adjusted_p = 0;     ///< Holm, over all comparisons of the study
};

/// Runs that differ in their seed alone.
struct Variant {
  std::vector<std::string> values;   ///< of Findings::keys, texts without quotes
  std::string label;                 ///< short, for figures
  std::string settings;              ///< what it has beside spans: equal ones can be compared
  std::vector<std::size_t> runs;     ///< all, among Findings::runs, by seed
  std::vector<std::size_t> counted;  ///< finished and evaluated, one for each seed
  std::vector<bool> full;            ///< of each layer: reads every earlier token
  std::vector<std::string> spans;    ///< of each layer; "full" for whatever comes to that
  /// Among Findings::variants: one of the same settings and spans, with most seeds counted. Itself,
  /// unless its model has several names (bottom:1 is spaced:1); only it is compared.
  std::size_t same_as = 0;
  double attention_share = 0;  ///< of the operations that attention needs if all are full
  double flops_per_token = 0;  ///< forward and backward, model; NaN: vocabulary not known
  /// Over `counted`; perplexity's interval is that of the loss, through exp.
  std::optional<Estimate> loss, perplexity, bits_per_byte, accuracy;
  double tokens_per_s = 0, step_ms = 0;  ///< means over its runs of their medians
  double memory_bytes = 0;               ///< most of the first rank's process
  std::optional<Comparison> against_full;
  bool all_full() const { return attention_share == 1; }
};

struct Findings {
  std::vector<RunRecord> runs;
  std::vector<std::string> keys;  ///< that vary, without train.seed, in the config's order
  std::vector<std::pair<std::string, std::string>> common;  ///< that no run varies; as TOML
  std::vector<std::string> seeds;
  std::vector<Variant> variants;   ///< by settings, then from most attention to least
  std::vector<std::string> notes;  ///< what a reader must know: runs left out, and why
  std::size_t comparisons() const;
  /// The variants of each settings, in order.
  std::vector<std::vector<std::size_t>> groups() const;
};

struct PairedLosses {
  std::vector<double> a, b;  ///< of the same seed at the same place
};
/// Last evaluation losses of the seeds that both variants have counted.
PairedLosses paired_losses(const Findings&, const Variant& a, const Variant& b);

/// Keys that cannot change what is learned or how fast (log.*, checkpoint.*, ...) do not count as
/// varied.
Findings make_findings(std::vector<RunRecord> runs);

/// Whether the key says which layers see how far.
bool is_span_key(const std::string& key);

/// A config's text without quotes around it, for people to read.
std::string plain_value(const std::string& toml);

/// Every key of the config with its value as TOML writes it, in the config's order.
std::vector<std::pair<std::string, std::string>> config_values(const RunConfig& config);

}  // namespace mixspan
