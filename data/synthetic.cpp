#include "data/synthetic.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <span>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "core/rng.h"

namespace mixspan {

namespace {

constexpr std::string_view kPrefix = "synthetic:";

/// One row being made; targets are kIgnoreTarget to begin with, tokens 0.
struct Row {
  std::span<std::int32_t> tokens, targets;
};

struct Numbers {
  std::int64_t distance = 0, pairs = 0, values = 0;
};

struct ParameterRange {
  std::string name;
  std::int64_t Numbers::*member;
  std::int64_t standard, smallest, largest;
};

/// A task: its numbers, how many token ids it needs, where its first answer can be, and how a row
/// is made from random numbers.
struct Kind {
  std::string name;
  std::vector<ParameterRange> parameters;
  std::int64_t (*vocab)(const Numbers&);
  std::int64_t (*first_answer)(const Numbers&);
  void (*fill)(const Numbers&, const RandomStream&, Row);
};

// Numbers drawn one after the other.
class Draw {
 public:
  explicit Draw(const RandomStream& stream) : stream_(stream) {}
  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(stream_.below(static_cast<std::uint64_t>(n), next_++));
  }
  std::vector<std::int64_t> permutation(std::int64_t n) {
    std::vector<std::int64_t> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    for (std::int64_t i = n - 1; i > 0; --i) {
      std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(below(i + 1))]);
    }
    return order;
  }
  std::vector<std::int64_t> many_below(std::int64_t n, std::int64_t count) {
    std::vector<std::int64_t> drawn(static_cast<std::size_t>(count));
    for (auto& x : drawn) x = below(n);
    return drawn;
  }

 private:
  const RandomStream& stream_;
  std::uint64_t next_ = 0;
};

// Ids of recall and induction: 0 is the filler, then values, keys, and for recall (key, value)
// pairs.
std::int32_t value_id(const Numbers&, std::int64_t value) {
  return static_cast<std::int32_t>(1 + value);
}
std::int32_t key_id(const Numbers& n, std::int64_t key) {
  return static_cast<std::int32_t>(1 + n.values + key);
}
std::int32_t pair_id(const Numbers& n, std::int64_t key, std::int64_t value) {
  return static_cast<std::int32_t>(1 + n.values + n.pairs + key * n.values + value);
}

// Every place from the first answer on asks for a key's value.
void ask(const Numbers& n, const std::vector<std::int64_t>& values, std::int64_t first_answer,
         Draw& draw, Row row) {
  for (std::int64_t t = first_answer; t < std::ssize(row.tokens); ++t) {
    const std::int64_t key = draw.below(n.pairs);
    row.tokens[static_cast<std::size_t>(t)] = key_id(n, key);
    row.targets[static_cast<std::size_t>(t)] = value_id(n, values[static_cast<std::size_t>(key)]);
  }
}

// One token is a key with its value. A query finds it by its key alone, so a single layer that
// reaches it can answer, wherever that layer stands.
std::int64_t recall_first_answer(const Numbers& n) { return n.pairs - 1 + n.distance; }
void fill_recall(const Numbers& n, const RandomStream& stream, Row row) {
  Draw draw(stream);
  const auto values = draw.many_below(n.values, n.pairs);
  const auto keys = draw.permutation(n.pairs);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    row.tokens[i] = pair_id(n, keys[i], values[static_cast<std::size_t>(keys[i])]);
  }
  ask(n, values, recall_first_answer(n), draw, row);
}

// A key's token stands before its value's. A layer below the one that reaches back has to join the
// two first (an induction head, Olsson et al. 2022, arXiv:2209.11895).
std::int64_t induction_first_answer(const Numbers& n) { return 2 * n.pairs - 1 + n.distance; }
void fill_induction(const Numbers& n, const RandomStream& stream, Row row) {
  Draw draw(stream);
  const auto values = draw.many_below(n.values, n.pairs);
  const auto keys = draw.permutation(n.pairs);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    row.tokens[2 * i] = key_id(n, keys[i]);
    row.tokens[2 * i + 1] = value_id(n, values[static_cast<std::size_t>(keys[i])]);
  }
  ask(n, values, induction_first_answer(n), draw, row);
}

// The answer is the token `distance` places back: found by position, not by content.
std::int64_t copy_first_answer(const Numbers& n) { return n.distance; }
void fill_copy(const Numbers& n, const RandomStream& stream, Row row) {
  Draw draw(stream);
  for (auto& token : row.tokens) token = static_cast<std::int32_t>(draw.below(n.values));
  const auto back = static_cast<std::size_t>(n.distance);
  for (std::size_t t = back; t < row.tokens.size(); ++t) row.targets[t] = row.tokens[t - back];
}

const std::vector<Kind>& kinds() {
  static const ParameterRange distance{"distance", &Numbers::distance, 64, 1, 1 << 20};
  static const ParameterRange pairs{"pairs", &Numbers::pairs, 4, 1, 256};
  static const ParameterRange values{"values", &Numbers::values, 8, 2, 256};
  static const std::vector<Kind> all{
      {"recall",
       {distance, pairs, values},
       [](const Numbers& n) { return 1 + n.values + n.pairs + n.pairs * n.values; },
       recall_first_answer,
       fill_recall},
      {"induction",
       {distance, pairs, values},
       [](const Numbers& n) { return 1 + n.values + n.pairs; },
       induction_first_answer,
       fill_induction},
      {"copy",
       {distance, values},
       [](const Numbers& n) { return n.values; },
       copy_first_answer,
       fill_copy},
  };
  return all;
}

template <class Items, class Name>
std::string listed(const Items& items, Name name) {
  std::string list;
  for (const auto& item : items) list += (list.empty() ? "" : ", ") + name(item);
  return list;
}

const Kind& kind_of(std::string_view name) {
  for (const Kind& kind : kinds()) {
    if (kind.name == name) return kind;
  }
  refuse("synthetic:{}: no such task; wanted one of {}", name,
         listed(kinds(), [](const Kind& k) { return "synthetic:" + k.name; }));
}

std::int64_t read_number(std::string_view digits, const ParameterRange& p, std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  require(error == std::errc() && end == digits.data() + digits.size() && value >= p.smallest &&
              value <= p.largest,
          "{}: {}={}: wanted a whole number from {} to {}", text, p.name, digits, p.smallest,
          p.largest);
  return value;
}

Numbers numbers_of(const Kind& kind, const SyntheticTask& task) {
  Numbers n;
  check(task.parameters.size() == kind.parameters.size(), "{}: {} parameters; wanted {}",
        task.str(), task.parameters.size(), kind.parameters.size());
  for (std::size_t i = 0; i < kind.parameters.size(); ++i) {
    n.*kind.parameters[i].member = task.parameters[i].value;
  }
  return n;
}

class SyntheticRows : public EvaluationSource {
 public:
  SyntheticRows(const SyntheticTask& task, std::int64_t T, RandomStream stream,
                std::int64_t num_rows, std::uint64_t digest)
      : task_(task),
        kind_(kind_of(task.name)),
        n_(numbers_of(kind_, task)),
        T_(T),
        stream_(stream),
        num_rows_(num_rows),
        digest_(digest) {
    require(T > kind_.first_answer(n_),
            "{}: needs rows of at least {} tokens; model.context is {}: raise it, or lower "
            "distance",
            task.str(), kind_.first_answer(n_) + 1, T);
  }

  Batch rows(std::int64_t first, std::int64_t count) const override {
    check(first >= 0 && count >= 1 && (num_rows_ == 0 || first + count <= num_rows_),
          "rows [{}, {}) of {} asked for", first, first + count, num_rows_);
    Batch batch{.tokens = Tensor({count, T_}, DType::i32),
                .targets = Tensor({count, T_}, DType::i32),
                .positions = Tensor({count, T_}, DType::i32),
                .document_start = {},
                .num_targets = count * (T_ - kind_.first_answer(n_))};
    const auto width = static_cast<std::size_t>(T_);
    for (std::int64_t b = 0; b < count; ++b) {
      const Row row{{batch.tokens.data<std::int32_t>() + b * T_, width},
                    {batch.targets.data<std::int32_t>() + b * T_, width}};
      std::fill(row.targets.begin(), row.targets.end(), kIgnoreTarget);
      const RandomStream draws(stream_.bits(static_cast<std::uint64_t>(first + b)), "row");
      kind_.fill(n_, draws, row);
      std::int32_t* positions = batch.positions.data<std::int32_t>() + b * T_;
      std::iota(positions, positions + T_, 0);
    }
    return batch;
  }
  std::int64_t vocab_size() const override { return kind_.vocab(n_); }
  std::int64_t row_tokens() const override { return T_; }
  double chance() const override { return 1.0 / static_cast<double>(n_.values); }
  std::int64_t num_rows() const override { return num_rows_; }
  std::int64_t text_bytes(std::int64_t, std::int64_t) const override { return 0; }
  std::uint64_t digest() const override { return digest_; }
  std::string describe() const override {
    return fmt::format(
        "{}: {} answers in a row of {}, each at least {} tokens back; guessing "
        "gives {:.1f} %",
        task_.str(), T_ - kind_.first_answer(n_), T_, n_.distance, 100 * chance());
  }

 private:
  SyntheticTask task_;
  const Kind& kind_;
  Numbers n_;
  std::int64_t T_;
  RandomStream stream_;
  std::int64_t num_rows_;  // 0: endless
  std::uint64_t digest_;
};

std::unique_ptr<EvaluationSource> open_rows(const SyntheticTask& task, std::int64_t T,
                                            std::uint64_t seed, const char* use,
                                            std::int64_t num_rows) {
  const std::string settings = fmt::format("{} {} {} {} {}", use, task.str(), T, seed, num_rows);
  return std::make_unique<SyntheticRows>(task, T, RandomStream(seed, use), num_rows,
                                         xxh3_64(settings.data(), settings.size()));
}

}  // namespace

std::string SyntheticTask::str() const {
  std::string text = std::string(kPrefix) + name;
  char separator = ':';
  for (const auto& p : parameters) {
    text += fmt::format("{}{}={}", std::exchange(separator, ','), p.name, p.value);
  }
  return text;
}

bool is_synthetic(std::string_view name) { return name.starts_with(kPrefix); }

SyntheticTask parse_synthetic(std::string_view text) {
  check(is_synthetic(text), "{}: no synthetic task", text);
  const std::string_view rest = text.substr(kPrefix.size());
  const std::size_t colon = std::min(rest.find(':'), rest.size());
  const Kind& kind = kind_of(rest.substr(0, colon));
  SyntheticTask task{kind.name, {}};
  for (const auto& p : kind.parameters) task.parameters.push_back({p.name, p.standard});

  std::string_view list = rest.substr(std::min(colon + 1, rest.size()));
  std::vector<bool> given(kind.parameters.size(), false);
  while (!list.empty()) {
    const std::string_view item = list.substr(0, list.find(','));
    list.remove_prefix(std::min(item.size() + 1, list.size()));
    const std::size_t equals = std::min(item.find('='), item.size());
    const auto& all = kind.parameters;
    const auto p = std::find_if(all.begin(), all.end(), [&](const ParameterRange& range) {
      return range.name == item.substr(0, equals);
    });
    require(p != all.end() && equals < item.size(),
            "{}: '{}' is no parameter of {}; wanted name=number with {}", text, item, kind.name,
            listed(
                all, [](const ParameterRange& range) { return range.name; }));
    const auto at = static_cast<std::size_t>(p - all.begin());
    require(!given[at], "{}: {} is given twice", text, p->name);
    given[at] = true;
    task.parameters[at].value = read_number(item.substr(equals + 1), *p, text);
  }
  return task;
}

std::unique_ptr<SampleSource> open_synthetic(const SyntheticTask& task, std::int64_t T,
                                             std::uint64_t seed) {
  return open_rows(task, T, seed, "synthetic training", 0);
}

std::unique_ptr<EvaluationSource> open_synthetic_evaluation(const SyntheticTask& task,
                                                            std::int64_t T, std::int64_t num_rows) {
  check(num_rows >= 1, "{} rows of {} asked for", num_rows, task.str());
  return open_rows(task, T, 0, "synthetic evaluation", num_rows);
}

}  // namespace mixspan
