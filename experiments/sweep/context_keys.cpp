#include "experiments/sweep/context_keys.h"

#include <map>

namespace mixspan {

bool follows_from_context(std::string_view key, std::span<const ValueAtContext> runs) {
  if (key == "model.context") return true;
  if (key != "train.batch_tokens" && key != "train.micro_rows") return false;
  std::map<std::int64_t, std::string_view> values;
  for (const ValueAtContext& run : runs) {
    const auto [known, is_new] = values.try_emplace(run.context, run.value);
    if (!is_new && known->second != run.value) return false;
  }
  return true;
}

}  // namespace mixspan
