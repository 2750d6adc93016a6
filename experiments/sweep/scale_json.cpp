// scale.json: a ScaleSummary on disk.
#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "experiments/sweep/scale_summary.h"

namespace mixspan {

namespace {

using Json = nlohmann::ordered_json;  // a NaN is printed as null

constexpr std::array kKinds{ScaleRow::Kind::measured, ScaleRow::Kind::waiting,
                            ScaleRow::Kind::extrapolated};

double number(const Json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

Json json_of(const CommBytes& b) { return {{"dp", b.dp}, {"cp", b.cp}, {"tp", b.tp}}; }

CommBytes bytes_of(const Json& j) {
  return {j.at("dp").get<std::int64_t>(), j.at("cp").get<std::int64_t>(),
          j.at("tp").get<std::int64_t>()};
}

Json json_of(const StepParts& p) {
  return {{"matmul", p.matmul},
          {"full_attention", p.full_attention},
          {"short_attention", p.short_attention},
          {"communication", p.communication},
          {"rest", p.rest}};
}

StepParts parts_of(const Json& j) {
  return {number(j.at("matmul")), number(j.at("full_attention")), number(j.at("short_attention")),
          number(j.at("communication")), number(j.at("rest"))};
}

Json json_of(const ScaleRow& r) {
  return {{"run", r.run},
          {"variant", r.variant},
          {"mesh", r.mesh},
          {"context", r.context},
          {"kind", name_of(r.kind)},
          {"step_ms", r.step_ms},
          {"low_ms", r.low_ms},
          {"high_ms", r.high_ms},
          {"plan_step_ms", r.plan_step_ms},
          {"tokens_per_s", r.tokens_per_s},
          {"mfu", r.mfu ? Json(*r.mfu) : Json(nullptr)},
          {"memory_bytes", r.memory_bytes ? Json(*r.memory_bytes) : Json(nullptr)},
          {"plan_memory_bytes", r.plan_memory_bytes},
          {"comm_bytes", r.comm_bytes ? json_of(*r.comm_bytes) : Json(nullptr)},
          {"plan_comm_bytes", json_of(r.plan_comm_bytes)},
          {"step_seconds", r.parts ? json_of(*r.parts) : Json(nullptr)},
          {"corrected_by", r.of_variant ? "runs of the variant" : "all runs"}};
}

ScaleRow row_of(const Json& j) {
  ScaleRow r;
  r.run = j.at("run").get<std::string>();
  r.variant = j.at("variant").get<std::string>();
  r.mesh = j.at("mesh").get<std::string>();
  r.context = j.at("context").get<std::int64_t>();
  const auto kind = std::find_if(kKinds.begin(), kKinds.end(),
                                 [&](ScaleRow::Kind k) { return j.at("kind") == name_of(k); });
  require(kind != kKinds.end(), "\"kind\" is {}", j.at("kind").dump());
  r.kind = *kind;
  r.step_ms = number(j.at("step_ms"));
  r.low_ms = number(j.at("low_ms"));
  r.high_ms = number(j.at("high_ms"));
  r.plan_step_ms = number(j.at("plan_step_ms"));
  r.tokens_per_s = number(j.at("tokens_per_s"));
  if (!j.at("mfu").is_null()) r.mfu = number(j.at("mfu"));
  if (!j.at("memory_bytes").is_null()) r.memory_bytes = j.at("memory_bytes").get<std::int64_t>();
  r.plan_memory_bytes = j.at("plan_memory_bytes").get<std::int64_t>();
  if (!j.at("comm_bytes").is_null()) r.comm_bytes = bytes_of(j.at("comm_bytes"));
  r.plan_comm_bytes = bytes_of(j.at("plan_comm_bytes"));
  if (!j.at("step_seconds").is_null()) r.parts = parts_of(j.at("step_seconds"));
  r.of_variant = j.at("corrected_by") != "all runs";
  return r;
}

Json json_of(const GrowthFit& f) {
  return {{"variant", f.variant},  {"quantity", f.quantity},  {"exponent", f.exponent.value},
          {"low", f.exponent.low}, {"high", f.exponent.high}, {"runs", f.exponent.n}};
}

GrowthFit fit_of(const Json& j) {
  return {j.at("variant").get<std::string>(),
          j.at("quantity").get<std::string>(),
          {number(j.at("exponent")), number(j.at("low")), number(j.at("high")),
           j.at("runs").get<std::int64_t>()}};
}

}  // namespace

std::string to_json(const ScaleSummary& s) {
  Json rows = Json::array(), fits = Json::array();
  for (const ScaleRow& row : s.rows) rows.push_back(json_of(row));
  for (const GrowthFit& fit : s.fits) fits.push_back(json_of(fit));
  const Json all{{"machine", s.machine}, {"rows", std::move(rows)}, {"growth", std::move(fits)}};
  return all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

ScaleSummary read_scale_summary(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  require(in.is_open(), "{}: cannot be opened", file.string());
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  try {
    const Json all = Json::parse(text);
    ScaleSummary s;
    s.machine = all.at("machine").get<std::string>();
    for (const Json& row : all.at("rows")) s.rows.push_back(row_of(row));
    for (const Json& fit : all.at("growth")) s.fits.push_back(fit_of(fit));
    return s;
  } catch (const InputError& e) {
    refuse("{}: not the summary of a scaling study: {}", file.string(), e.what());
  } catch (const Json::exception& e) {
    refuse("{}: not the summary of a scaling study: {}", file.string(), e.what());
  }
}

}  // namespace mixspan
