#include "experiments/run/generate.h"

#include <algorithm>

#include "core/copy.h"
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

// Tokens in, logits out, from and to the host.
class Conversation {
 public:
  /// At most `tokens` are added at a time.
  Conversation(const Exec& ex, const Model& model, std::int64_t tokens)
      : ex_(ex),
        model_(model),
        tokens_({tokens}, DType::i32, ex.device),
        made_({1, model.config().vocab}, storage_dtype(ex), ex.device),
        logits_({model.config().vocab}),
        stored_(logits_.shape(), storage_dtype(ex)) {}

  void add(std::span<const std::int32_t> tokens, Model::State& state) {
    const auto n = static_cast<std::int64_t>(tokens.size());
    const View there = tokens_.view().slice(0, 0, n);
    copy(ex_, there, ConstView(tokens.data(), DType::i32, {n}));
    model_.extend(ex_, made_, there.reshape({1, n}), state);
    copy(ex_, stored_, made_.view().select(0, 0));
    dispatch<float, bf16>("logits", storage_dtype(ex_), [&]<class T>() {
      const T* from = stored_.data<T>();
      std::transform(from, from + stored_.size(), logits_.data<float>(),
                     [](T x) { return static_cast<float>(x); });
    });
  }
  /// (V) f32 of the next token.
  ConstView logits() const { return logits_; }

 private:
  const Exec& ex_;
  const Model& model_;
  Tensor tokens_, made_, logits_, stored_;
};

}  // namespace

std::vector<std::int32_t> generate(const Exec& ex, const Model& model,
                                   std::span<const std::int32_t> prompt, const GenerateOptions& o,
                                   const std::function<void(std::int32_t)>& on_token) {
  validate(o.sampler);
  check_prompt(model, prompt, o.max_tokens);
  const auto n = static_cast<std::int64_t>(prompt.size());
  Model::State state = model.start(ex, 1, n + o.max_tokens);
  const std::int64_t vocab = o.vocab > 0 ? o.vocab : model.config().vocab;
  Conversation conversation(ex, model, n);
  conversation.add(prompt, state);

  std::vector<std::int32_t> text;
  while (static_cast<std::int64_t>(text.size()) < o.max_tokens) {
    const std::int32_t token = sample(conversation.logits().slice(0, 0, vocab), o.sampler,
                                      static_cast<std::uint64_t>(text.size()));
    if (token == o.end_of_text) break;
    text.push_back(token);
    on_token(token);
    if (static_cast<std::int64_t>(text.size()) == o.max_tokens) break;
    conversation.add({&text.back(), 1}, state);
  }
  return text;
}

}  // namespace mixspan
