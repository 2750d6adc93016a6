#include "experiments/run/metrics_reader.h"

#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/error.h"

namespace mixspan {

namespace {

using Json = nlohmann::json;

double number(const Json& line, const char* key) {
  const Json& value = line.at(key);
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

std::optional<double> maybe(const Json& line, const char* key) {
  const auto found = line.find(key);
  if (found == line.end() || found->is_null()) return std::nullopt;
  return found->get<double>();
}

TrainMetrics train_line(const Json& line) {
  TrainMetrics m;
  m.step = line.at("step").get<std::int64_t>();
  m.tokens = line.at("tokens").get<std::int64_t>();
  m.loss = number(line, "loss");
  m.grad_norm = number(line, "grad_norm");
  m.lr = number(line, "lr");
  m.tokens_per_s = number(line, "tokens_per_s");
  m.mfu = maybe(line, "mfu");
  m.step_ms = number(line, "step_ms");
  m.memory_bytes = line.at("memory_bytes").get<std::int64_t>();
  const Json& bytes = line.at("comm_bytes");
  m.comm_bytes = {bytes.at("dp").get<std::int64_t>(), bytes.at("cp").get<std::int64_t>(),
                  bytes.at("tp").get<std::int64_t>()};
  return m;
}

EvalMetrics eval_line(const Json& line) {
  EvalMetrics m;
  m.step = line.at("step").get<std::int64_t>();
  m.tokens = line.at("tokens").get<std::int64_t>();
  m.data = line.at("data").get<std::string>();
  m.context = line.at("context").get<std::int64_t>();
  m.targets = line.at("targets").get<std::int64_t>();
  m.loss = number(line, "loss");
  m.bits_per_byte = maybe(line, "bits_per_byte");
  m.accuracy = maybe(line, "accuracy");
  for (const Json& bucket : line.at("by_position")) {
    m.by_position.push_back({bucket.at("begin").get<std::int64_t>(),
                             bucket.at("end").get<std::int64_t>(),
                             bucket.at("targets").get<std::int64_t>(), number(bucket, "loss")});
  }
  return m;
}

void add_line(std::string_view text, RunMetrics& metrics) {
  const Json line = Json::parse(text);
  const auto kind = line.at("kind").get<std::string>();
  if (kind == "train") metrics.train.push_back(train_line(line));
  if (kind == "eval") metrics.eval.push_back(eval_line(line));
}

}  // namespace

RunMetrics read_metrics(const std::filesystem::path& file) {
  RunMetrics metrics;
  std::ifstream in(file, std::ios::binary);
  if (!in.is_open()) return metrics;
  const std::string all{std::istreambuf_iterator<char>(in), {}};
  check(!in.bad(), "{}: cannot be read", file.string());
  std::int64_t number = 0;
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = all.find('\n', begin);
    if (end == std::string::npos) break;
    ++number;
    try {
      add_line(std::string_view(all).substr(begin, end - begin), metrics);
    } catch (const Json::exception& e) {
      refuse("{}:{}: not a line of metrics: {}", file.string(), number, e.what());
    }
    begin = end + 1;
  }
  return metrics;
}

}  // namespace mixspan
