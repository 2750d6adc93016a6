#include "experiments/run/metrics.h"

#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/durable_file.h"
#include "core/error.h"

namespace mixspan {

namespace {

using Json = nlohmann::ordered_json;  // a NaN or an infinity is printed as null

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool is_kept(std::string_view line, std::int64_t last_step) {
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return false;
  const auto step = json.find("step");
  return step != json.end() && step->is_number_integer() && step->get<std::int64_t>() <= last_step;
}

// Returns `file` itself, so that it can stand in an initialiser.
const std::filesystem::path& drop_later_steps(const std::filesystem::path& file,
                                              std::int64_t last_step) {
  std::ifstream in(file, std::ios::binary);
  if (!in.is_open()) return file;
  const std::string all{std::istreambuf_iterator<char>(in), {}};
  check(!in.bad(), "{}: cannot be read", file.string());
  std::string kept;
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = all.find('\n', begin);
    if (end == std::string::npos) break;  // half a line: the writer was killed in it
    const std::string_view line(all.data() + begin, end - begin);
    if (is_kept(line, last_step)) kept.append(line).append("\n");
    begin = end + 1;
  }
  if (kept != all) replace_file(file, kept);
  return file;
}

}  // namespace

std::string to_json(const TrainMetrics& m) {
  return line_of(Json{
      {"kind", "train"},
      {"step", m.step},
      {"tokens", m.tokens},
      {"loss", m.loss},
      {"grad_norm", m.grad_norm},
      {"lr", m.lr},
      {"tokens_per_s", m.tokens_per_s},
      {"mfu", or_null(m.mfu)},
      {"step_ms", m.step_ms},
      {"memory_bytes", m.memory_bytes},
      {"comm_bytes",
       Json{{"dp", m.comm_bytes.dp}, {"cp", m.comm_bytes.cp}, {"tp", m.comm_bytes.tp}}},
  });
}

std::string to_json(const EvalMetrics& m) {
  Json buckets = Json::array();
  for (const PositionLoss& p : m.by_position) {
    buckets.push_back(
        Json{{"begin", p.begin}, {"end", p.end}, {"targets", p.targets}, {"loss", p.loss}});
  }
  return line_of(Json{
      {"kind", "eval"},
      {"step", m.step},
      {"tokens", m.tokens},
      {"data", m.data},
      {"context", m.context},
      {"targets", m.targets},
      {"loss", m.loss},
      {"perplexity", std::exp(m.loss)},
      {"bits_per_byte", or_null(m.bits_per_byte)},
      {"accuracy", or_null(m.accuracy)},
      {"by_position", std::move(buckets)},
  });
}

MetricsWriter::MetricsWriter(const std::filesystem::path& file, std::int64_t last_step)
    : file_(drop_later_steps(file, last_step), AppendFile::Open::append) {}

void MetricsWriter::write_line(std::string_view json) {
  // One write, so that a kill leaves the whole line or, at worst, the file's last one cut.
  file_.write(std::string(json) + "\n");
}

}  // namespace mixspan
