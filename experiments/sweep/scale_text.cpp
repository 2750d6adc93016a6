// A ScaleSummary as a table: for a terminal, and as CSV.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "experiments/run/progress.h"
#include "experiments/sweep/scale_summary.h"

namespace mixspan {

namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

std::string digits(double value) { return std::isfinite(value) ? fmt::format("{}", value) : ""; }

std::string milliseconds(double ms) {
  return std::isfinite(ms) ? fmt::format("{:.{}f}", ms, ms < 100 ? 1 : 0) : "?";
}

std::string shares(const ScaleRow& row) {
  if (!row.parts) return "";
  const StepParts& p = *row.parts;
  const double all = p.matmul + p.full_attention + p.short_attention + p.communication + p.rest;
  const auto percent = [&](double part) { return 100 * part / all; };
  return fmt::format("{:4.0f} {:4.0f} {:5.0f} {:4.0f} {:4.0f}", percent(p.matmul),
                     percent(p.full_attention), percent(p.short_attention),
                     percent(p.communication), percent(p.rest));
}

std::string line_of(const ScaleRow& row) {
  const std::string range =
      std::isfinite(row.low_ms)
          ? fmt::format("{}..{}", milliseconds(row.low_ms), milliseconds(row.high_ms))
          : "";
  return fmt::format("{:>8}  {:<14} {}{:>8} {:>17} {:>8} {:>8} {:>5} {:>7} {:>7}  {}", row.context,
                     row.mesh,
                     row.kind != ScaleRow::Kind::extrapolated ? " "
                     : row.of_variant                         ? "~"
                                                              : "!",
                     milliseconds(row.step_ms), range, milliseconds(row.plan_step_ms),
                     std::isfinite(row.tokens_per_s) ? human_count(row.tokens_per_s) : "",
                     row.mfu ? fmt::format("{:.0f}%", 100 * *row.mfu) : "",
                     row.memory_bytes ? human_bytes(*row.memory_bytes) : "",
                     human_bytes(row.plan_memory_bytes), shares(row));
}

std::string interval(const Estimate& e) {
  return std::isfinite(e.low) ? fmt::format("{:.2f} ({:.2f} to {:.2f})", e.value, e.low, e.high)
                              : fmt::format("{:.2f} (no interval from {} runs)", e.value, e.n);
}

}  // namespace

std::string to_text(const ScaleSummary& s) {
  std::string out = fmt::format(
      "{:>8}  {:<14} {:>9} {:>17} {:>8} {:>8} {:>5} {:>7} {:>7}  of the step's time, %\n", "", "",
      "step", "fastest..", "plan", "", "", "memory", "plan");
  out += fmt::format("{:>8}  {:<14} {:>9} {:>17} {:>8} {:>8} {:>5} {:>7} {:>7}  {}\n", "context",
                     "mesh", "ms", "slowest", "ms", "tokens/s", "MFU", "process", "a rank",
                     "gemm full short comm rest");
  std::string variant;
  bool beyond = false;
  for (const ScaleRow& row : s.rows) {
    if (row.variant != variant) out += row.variant + "\n";
    variant = row.variant;
    out += line_of(row) + "\n";
    beyond = beyond || row.kind == ScaleRow::Kind::extrapolated;
  }
  for (const GrowthFit& fit : s.fits) {
    out += fmt::format("{}: {} grow as context^{}\n", fit.variant, fit.quantity,
                       interval(fit.exponent));
  }
  if (beyond) {
    out +=
        "~ not run: the plan, corrected by how far it was off for runs of the variant (of all "
        "runs, "
        "where it has none: !), with the 95 % interval of one more measurement\n";
  }
  return out + fmt::format("plans are for {}\n", s.machine);
}

std::string to_csv(const ScaleSummary& s) {
  std::string out =
      "run,variant,mesh,context,kind,step_ms,low_ms,high_ms,plan_step_ms,tokens_per_s,mfu,"
      "memory_bytes,plan_memory_bytes,dp_bytes,cp_bytes,tp_bytes,plan_dp_bytes,plan_cp_bytes,"
      "plan_tp_bytes,matmul_s,full_attention_s,short_attention_s,communication_s,rest_s\r\n";
  for (const ScaleRow& r : s.rows) {
    out += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},", quoted(r.run), quoted(r.variant),
                       quoted(r.mesh), r.context, name_of(r.kind), digits(r.step_ms),
                       digits(r.low_ms), digits(r.high_ms), digits(r.plan_step_ms),
                       digits(r.tokens_per_s), r.mfu ? digits(*r.mfu) : "",
                       r.memory_bytes ? fmt::to_string(*r.memory_bytes) : "", r.plan_memory_bytes);
    const auto& c = r.comm_bytes;
    out += c ? fmt::format("{},{},{},", c->dp, c->cp, c->tp) : ",,,";
    out +=
        fmt::format("{},{},{},", r.plan_comm_bytes.dp, r.plan_comm_bytes.cp, r.plan_comm_bytes.tp);
    const auto& p = r.parts;
    out += p ? fmt::format("{},{},{},{},{}\r\n", p->matmul, p->full_attention, p->short_attention,
                           p->communication, p->rest)
             : ",,,,\r\n";
  }
  return out;
}

}  // namespace mixspan
