#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "experiments/report/chart_axis.h"
#include "experiments/report/markup.h"
#include "experiments/report/sections.h"
#include "experiments/run/progress.h"

namespace mixspan {

namespace {

/// Cells, and the value that sorting goes by.
class Row {
 public:
  void text(std::string_view content, bool left = false) {
    out_ += fmt::format("<td{}>{}</td>", left ? " class=\"x\"" : "", escaped(content));
  }
  void value(double sort_by, const std::string& content) {
    if (!std::isfinite(sort_by)) {
      out_ += "<td data-v=\"\">–</td>";
    } else {
      out_ += fmt::format("<td data-v=\"{}\">{}</td>", sort_by, content);
    }
  }
  /// "2.9134 ± 0.0121"; without an interval the value alone.
  void estimate(const std::optional<Estimate>& e, int digits, double scale = 1,
                const char* sign = "") {
    if (!e) return value(std::nan(""), "");
    std::string content = fmt::format("{:.{}f}{}", scale * e->value, digits, sign);
    if (!std::isnan(e->low)) {
      content += fmt::format(" <small>± {:.{}f}</small>", scale * (e->high - e->low) / 2, digits);
    }
    value(e->value, content);
  }
  const std::string& html() const { return out_; }

 private:
  std::string out_;
};

std::string p_text(double p) {
  if (p < 0.001) return "&lt; 0.001";
  return fmt::format("{:.3f}", p);
}

struct Columns {
  bool bits = false, accuracy = false, comparison = false;
  explicit Columns(const Findings& study) {
    for (const Variant& v : study.variants) {
      bits = bits || v.bits_per_byte;
      accuracy = accuracy || v.accuracy;
      comparison = comparison || v.against_full;
    }
  }
};

std::string head(const Findings& study, const Columns& columns) {
  std::string out;
  const auto column = [&](const std::string& name, const std::string& unit, bool left = false) {
    out += fmt::format("<th{} scope=\"col\">{}{}</th>", left ? " class=\"x\"" : "", escaped(name),
                       unit.empty() ? "" : fmt::format("<small>{}</small>", escaped(unit)));
  };
  if (study.keys.empty()) column("variant", "", true);
  for (const std::string& key : study.keys) column(key.substr(key.rfind('.') + 1), "", true);
  column("attention", "of all full");
  column("n", "seeds");
  column("loss", "nats per token");
  if (columns.comparison) {
    column("against all full", "nats, 95 % interval");
    column("p", "adjusted");
  }
  column("perplexity", "95 % interval");
  column("FLOPs", "per token");
  column("tokens/s", "");
  column("memory", "first rank's process");
  if (columns.bits) column("bits per byte", "");
  if (columns.accuracy) column("accuracy", "next token");
  return out;
}

std::string row_of(const Findings& study, const Variant& v, const Columns& columns) {
  Row row;
  if (study.keys.empty()) row.text(v.label, true);
  for (const std::string& value : v.values) row.text(value, true);
  row.value(v.attention_share, fmt::format("{:.1f} %", 100 * v.attention_share));
  row.text(v.counted.size() == v.runs.size()
               ? std::to_string(v.counted.size())
               : fmt::format("{} of {}", v.counted.size(), v.runs.size()));
  row.estimate(v.loss, 4);
  if (columns.comparison) {
    if (v.against_full) {
      const Estimate& d = v.against_full->test.difference;
      std::string text = fmt::format("{:+.4f}", d.value);
      if (!std::isnan(d.low)) {
        text += fmt::format(" <small>[{:+.4f}, {:+.4f}]</small>", d.low, d.high);
      }
      row.value(d.value, text);
      row.value(v.against_full->adjusted_p, p_text(v.against_full->adjusted_p));
    } else {
      const Variant& same = study.variants[v.same_as];
      row.text(v.all_full() && v.loss ? "reference" : &same != &v ? "is " + same.label : "");
      row.text("");
    }
  }
  if (v.perplexity && !std::isnan(v.perplexity->low)) {
    row.value(v.perplexity->value,
              fmt::format("{} <small>[{}, {}]</small>", short_number(v.perplexity->value),
                          short_number(v.perplexity->low), short_number(v.perplexity->high)));
  } else {
    row.value(v.perplexity ? v.perplexity->value : std::nan(""),
              v.perplexity ? short_number(v.perplexity->value) : "");
  }
  row.value(v.flops_per_token, short_number(v.flops_per_token));
  row.value(v.tokens_per_s, short_number(v.tokens_per_s));
  row.value(v.memory_bytes, std::isnan(v.memory_bytes)
                                ? ""
                                : human_bytes(static_cast<std::int64_t>(v.memory_bytes)));
  if (columns.bits) row.estimate(v.bits_per_byte, 4);
  if (columns.accuracy) row.estimate(v.accuracy, 2, 100, " %");
  return fmt::format("<tr{}>{}</tr>\n", v.all_full() ? " class=\"ref\"" : "", row.html());
}

/// Why there is nothing to compare.
std::string nothing_counted(const Findings& study) {
  std::size_t finished = 0, evaluated = 0;
  for (const RunRecord& run : study.runs) {
    if (run.finished) ++finished;
    if (run.finished && run.last_eval) ++evaluated;
  }
  if (finished == 0) return "No run is finished yet, so there is nothing to compare.";
  if (evaluated == 0) {
    return "No finished run evaluated anything, so there are no losses to compare.";
  }
  return "No finished run has a finite evaluation loss, so there is nothing to compare.";
}

/// What the numbers are and what they cannot say, in words that a statistician would accept.
std::string method(const Findings& study) {
  std::size_t most = 0, least = SIZE_MAX, fewest_pairs = SIZE_MAX, compared = 0;
  for (const Variant& v : study.variants) {
    if (!v.counted.empty()) {
      most = std::max(most, v.counted.size());
      least = std::min(least, v.counted.size());
    }
    if (v.against_full) {
      ++compared;
      fewest_pairs =
          std::min(fewest_pairs, static_cast<std::size_t>(v.against_full->test.difference.n));
    }
  }
  if (most == 0) return fmt::format("<p>{}</p>\n", nothing_counted(study));
  std::string text =
      "<p>Loss is that of the last evaluation of finished runs, a mean over n seeds. ";
  if (most == 1) {
    text +=
        "Every variant has one seed: there are no intervals and no tests, and a difference may be "
        "of the seed alone. ";
  } else {
    text += fmt::format(
        "± is half of the 95 % interval of that mean by Student's t with n − 1 degrees of freedom, "
        "n from {} to {}; perplexity is exp of the mean loss, its interval exp of the loss's. It "
        "covers what seeds change (initial weights, order of the data), not another data set, size "
        "or learning rate. ",
        least, most);
  }
  text +=
      "Attention counts the (query, key) pairs that the spans let through, over those of the "
      "all-full model; FLOPs are forward and backward, without recomputation.</p>\n";
  if (compared == 0) {
    return text +
           "<p>No variant has an all-full partner of the same settings: nothing is compared.</p>\n";
  }
  const std::size_t tests = study.comparisons();
  if (tests == 0) {
    return text +
           "<p>Differences against the all-full variant are of one seed each: no test is "
           "possible.</p>\n";
  }
  text += fmt::format(
      "<p>Differences are taken seed by seed against the all-full variant of the same settings; p "
      "is of the two-sided paired t test, adjusted by Holm's method for {} comparison{}, so that "
      "the chance of any false finding among them is at most 5 % where p &lt; 0.05 is taken as "
      "one. "
      "A model that has several names is compared once. Intervals are not adjusted. The test "
      "assumes that differences scatter normally; a large p "
      "is no evidence that two variants are equal: read the interval for what may still be true.",
      tests, tests == 1 ? "" : "s");
  if (fewest_pairs < 5) {
    text += fmt::format(
        " <strong>With {} pair{} the power is low</strong>: only differences several times their "
        "scatter can be found, and normality cannot be checked.",
        fewest_pairs, fewest_pairs == 1 ? "" : "s");
  }
  return text + "</p>\n";
}

}  // namespace

PageSection variants_section(const Findings& study) {
  const Columns columns(study);
  std::string rows;
  for (const Variant& v : study.variants) rows += row_of(study, v, columns);
  std::string notes;
  constexpr std::size_t kMostNotes = 30;
  for (std::size_t i = 0; i < std::min(study.notes.size(), kMostNotes); ++i) {
    notes += fmt::format("<li>{}</li>", escaped(study.notes[i]));
  }
  if (study.notes.size() > kMostNotes) {
    notes += fmt::format("<li>and {} more.</li>", study.notes.size() - kMostNotes);
  }
  if (!notes.empty()) notes = fmt::format("<ul class=\"notes\">{}</ul>\n", notes);
  const char* filter =
      "<input class=\"filter\" type=\"search\" data-for=\"#variants tbody tr\" "
      "placeholder=\"Filter, e.g. bottom:2 sliding\" aria-label=\"Filter the table\">\n";
  return {"Variants",
          fmt::format("{}<div class=\"scroll\"><table class=\"sortable\"><thead><tr>{}</tr></thead>"
                      "<tbody>\n{}</tbody></table></div>\n{}{}",
                      study.variants.size() > 8 ? filter : "", head(study, columns), rows, notes,
                      method(study))};
}

}  // namespace mixspan
