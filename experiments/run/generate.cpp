#include "experiments/run/generate.h"

#include <algorithm>

#include "core/error.h"

namespace mixspan {

namespace {

void check_prompt(const Model& model, std::span<const std::int32_t> prompt,
                  std::int64_t max_tokens) {
  const std::int64_t context = model.config().context;
  const auto n = static_cast<std::int64_t>(prompt.size());
  require(n > 0, "--prompt is empty; wanted some text to go on from");
  require(max_tokens >= 1, "--max-tokens {}: wanted at least 1", max_tokens);
  require(n < context,
          "--prompt has {} tokens; the model's context of {} leaves room for at most {}", n,
          context, context - 1);
  require(
      n + max_tokens <= context,
      "--max-tokens {}: with a prompt of {} tokens the model's context of {} leaves room for at "
      "most {}",
      max_tokens, n, context, context - n);
  for (std::int32_t token : prompt) {
    require(token >= 0 && token < model.config().vocab,
            "--prompt holds token {}, the model knows 0..{}", token, model.config().vocab - 1);
  }
}

}  // namespace

std::vector<std::int32_t> generate(const Exec& ex, const Model& model,
                                   std::span<const std::int32_t> prompt, const GenerateOptions& o,
                                   const std::function<void(std::int32_t)>& on_token) {
  validate(o.sampler);
  check_prompt(model, prompt, o.max_tokens);
  const auto n = static_cast<std::int64_t>(prompt.size());
  Model::State state = model.start(1, n + o.max_tokens);
  const std::int64_t vocab = o.vocab > 0 ? o.vocab : model.config().vocab;
  Tensor logits({1, model.config().vocab});
  model.extend(ex, logits, ConstView(prompt.data(), DType::i32, {1, n}), state);

  std::vector<std::int32_t> text;
  while (static_cast<std::int64_t>(text.size()) < o.max_tokens) {
    const std::int32_t token = sample(logits.view().select(0, 0).slice(0, 0, vocab), o.sampler,
                                      static_cast<std::uint64_t>(text.size()));
    if (token == o.end_of_text) break;
    text.push_back(token);
    on_token(token);
    if (static_cast<std::int64_t>(text.size()) == o.max_tokens) break;
    model.extend(ex, logits, ConstView(&text.back(), DType::i32, {1, 1}), state);
  }
  return text;
}

}  // namespace mixspan
