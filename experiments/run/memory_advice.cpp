#include "experiments/run/memory_advice.h"

#include <fmt/format.h>

#include <vector>

#include "experiments/run/progress.h"
#include "experiments/run/run_plan.h"

namespace mixspan {

namespace {

struct Change {
  std::string key;    ///< "train.micro_rows = 2"
  RunConfig changed;  ///< what then would run
};

RunConfig with(RunConfig c, const std::function<void(RunConfig&)>& change) {
  change(c);
  return c;
}

std::vector<Change> possible_changes(const RunConfig& c) {
  std::vector<Change> all;
  const std::int64_t micro_rows = chosen_micro_rows(c.model, c.parallel, c.step_shape());
  if (micro_rows > 1) {
    std::int64_t fewer = micro_rows / 2;
    while (micro_rows % fewer != 0) --fewer;
    all.push_back({fmt::format("train.micro_rows = {}", fewer),
                   with(c, [&](RunConfig& o) { o.train.micro_rows = fewer; })});
  }
  for (const char* recompute : {"selective", "products", "full"}) {
    // They are in the order of what is kept.
    if (parse_recompute(recompute) <= parse_recompute(c.model.recompute)) continue;
    all.push_back({fmt::format("model.recompute = \"{}\"", recompute),
                   with(c, [&](RunConfig& o) { o.model.recompute = recompute; })});
  }
  if (c.device == "cuda" && c.train.precision == "fp32") {
    all.push_back(
        {"train.precision = \"bf16\"", with(c, [](RunConfig& o) { o.train.precision = "bf16"; })});
  }
  const std::int64_t more = 2 * c.parallel.cp;
  all.push_back({fmt::format("parallel.cp = {} on {} ranks", more, 2 * c.parallel.ranks()),
                 with(c, [&](RunConfig& o) { o.parallel.cp = more; })});
  const std::int64_t shorter = c.model.context / 2;
  all.push_back({fmt::format("model.context = {}", shorter), with(c, [&](RunConfig& o) {
                   o.model.context = shorter;
                   o.train.micro_rows = micro_rows;
                 })});
  return all;
}

// Of a rank; -1 where it cannot be run.
std::int64_t bytes_of(const RunConfig& c) {
  try {
    return plan_of(c).memory.total();
  } catch (const InputError&) {
    return -1;
  }
}

}  // namespace

std::string memory_advice(const RunConfig& c) {
  RunConfig now = c;
  if (c.model.vocab == 0) now.model.vocab = 1;  // what is left out is in both numbers
  const std::int64_t needed = bytes_of(now);
  std::vector<std::string> texts;
  for (Change& change : possible_changes(now)) {
    const std::int64_t bytes = bytes_of(change.changed);
    if (bytes < 0 || bytes >= needed) continue;
    texts.push_back(c.model.vocab == 0 ? change.key
                                       : fmt::format("{} ({})", change.key, human_bytes(bytes)));
  }
  if (texts.empty()) return "wanted a smaller model, or more memory";
  const std::string all = fmt::format("{}", fmt::join(texts, ", "));
  return c.model.vocab == 0 ? fmt::format("what needs less: {}", all)
                            : fmt::format("the plan is {} for a rank; what needs less: {}",
                                          human_bytes(needed), all);
}

}  // namespace mixspan
