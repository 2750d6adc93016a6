#include "experiments/run/metrics_reader.h"

#include <charconv>
#include <cmath>
#include <fstream>
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

/// Takes a line apart that is written just as to_json(TrainMetrics) does, an order of magnitude
/// faster than any JSON may be. Whatever looks different is left to the parser above.
class PlainLine {
 public:
  explicit PlainLine(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

  bool is(std::string_view words) {
    good_ = good_ && std::string_view(at_, end_).starts_with(words);
    if (good_) at_ += words.size();
    return good_;
  }
  /// `words`, then a number as JSON has them.
  template <class T>
  void number(std::string_view words, T& value) {
    if (!is(words)) return;
    const char* digit = at_ < end_ && *at_ == '-' ? at_ + 1 : at_;
    const auto is_digit = [this](const char* c) { return c < end_ && *c >= '0' && *c <= '9'; };
    const bool plain = is_digit(digit) && !(*digit == '0' && is_digit(digit + 1));
    const auto [after, error] = std::from_chars(at_, end_, value);
    good_ = plain && error == std::errc{} && is_digit(after - 1);
    at_ = after;
  }
  bool good() const { return good_; }
  bool at_end() const { return good_ && at_ == end_; }

 private:
  const char* at_;
  const char* end_;
  bool good_ = true;
};

std::optional<TrainMetrics> plain_train_line(std::string_view text) {
  PlainLine line(text);
  TrainMetrics m;
  line.number(R"({"kind":"train","step":)", m.step);
  line.number(R"(,"tokens":)", m.tokens);
  line.number(R"(,"loss":)", m.loss);
  line.number(R"(,"grad_norm":)", m.grad_norm);
  line.number(R"(,"lr":)", m.lr);
  line.number(R"(,"tokens_per_s":)", m.tokens_per_s);
  line.is(R"(,"mfu":)");
  PlainLine without = line;
  if (without.is("null")) {
    line = without;
  } else {
    line.number("", m.mfu.emplace());
  }
  line.number(R"(,"step_ms":)", m.step_ms);
  line.number(R"(,"memory_bytes":)", m.memory_bytes);
  line.number(R"(,"comm_bytes":{"dp":)", m.comm_bytes.dp);
  line.number(R"(,"cp":)", m.comm_bytes.cp);
  line.number(R"(,"tp":)", m.comm_bytes.tp);
  line.is("}}");
  if (!line.at_end()) return {};
  return m;
}

void add_line(std::string_view text, RunMetrics& metrics) {
  if (const auto train = plain_train_line(text)) {
    metrics.train.push_back(*train);
    return;
  }
  const Json line = Json::parse(text);
  const auto kind = line.at("kind").get<std::string>();
  if (kind == "train") metrics.train.push_back(train_line(line));
  if (kind == "eval") metrics.eval.push_back(eval_line(line));
}

}  // namespace

RunMetrics read_metrics(const std::filesystem::path& file) {
  RunMetrics metrics;
  std::ifstream in(file, std::ios::binary);
  std::error_code unknown;
  if (!in.is_open()) {
    const auto type = std::filesystem::status(file, unknown).type();
    require(type == std::filesystem::file_type::not_found, "{}: is there but cannot be opened{}{}",
            file.string(), unknown ? ": " : "", unknown ? unknown.message() : "");
    return metrics;
  }
  std::string all;
  // The size only saves copying; the file may be growing.
  all.reserve(std::filesystem::file_size(file, unknown) + 1);
  for (char piece[1 << 16]; in.read(piece, sizeof piece) || in.gcount() > 0;) {
    all.append(piece, static_cast<std::size_t>(in.gcount()));
  }
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
