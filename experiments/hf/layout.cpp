// Which Hugging Face family can hold a model, and the config.json that says so.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/error.h"
#include "experiments/hf/families.h"

namespace mixspan {

namespace {

using nlohmann::json;

constexpr const char* kFamilies =
    "Hugging Face's GPT-Neo holds full layers and sliding layers of one window, without biases on "
    "query, key and value; GPT-2 holds full layers";

// The one window that GPT-Neo's config.json can name: that of the layers whose span ends inside the
// context, else of any sliding layer, so that an imported model keeps its window.
std::optional<std::int64_t> choose_window(const ModelConfig& c, const std::vector<AnySpan>& spans) {
  std::optional<std::int64_t> covering;
  for (const AnySpan& s : spans) {
    const std::optional<std::int64_t> window = s.visit([]<class S>(const S& span) {
      if constexpr (std::is_same_v<S, SlidingSpan>) return std::optional(span.window);
      return std::optional<std::int64_t>();
    });
    if (!window) continue;
    if (s.lo(c.context - 1) > 0) return window;
    if (!covering) covering = window;
  }
  return covering;
}

}  // namespace

HfLayout choose_layout(const ModelConfig& c) {
  const std::vector<AnySpan> spans = layer_spans(c);
  const auto covers = [&](const AnySpan& s) { return s.lo(c.context - 1) == 0; };
  const bool scaled = c.attention_scale == "inverse-sqrt";
  HfLayout layout;
  layout.local.assign(spans.size(), false);
  if (std::all_of(spans.begin(), spans.end(), covers) && (c.qkv_bias || scaled)) {
    layout.family = HfFamily::gpt2;
    return layout;
  }
  const std::optional<std::int64_t> window = choose_window(c, spans);
  layout.window = window.value_or(layout.window);
  for (std::size_t l = 0; l < spans.size(); ++l) {
    layout.local[l] = window && spans[l] == AnySpan(SlidingSpan{*window});
    require(layout.local[l] || covers(spans[l]), "layer {} has span {}{}; {}", l, spans[l].str(),
            window ? fmt::format(", another sliding:{}", *window) : "", kFamilies);
  }
  require(!c.qkv_bias, "model.qkv_bias = true and layers that slide; {}", kFamilies);
  layout.fold_scale = scaled;
  return layout;
}

json hf_config_json(const ModelConfig& c, const HfLayout& layout, std::int64_t end_of_text) {
  const json end = end_of_text < 0 ? json() : json(end_of_text);
  json out = {{"architectures", {class_of(layout.family)}},
              {"activation_function", "gelu_new"},
              {"bos_token_id", end},
              {"eos_token_id", end},
              {"initializer_range", c.init_std},
              {"layer_norm_epsilon", c.layer_norm_eps},
              {"tie_word_embeddings", true},
              {"torch_dtype", "float32"},
              {"use_cache", true},
              {"vocab_size", c.vocab}};
  if (layout.family == HfFamily::gpt2) {
    out.update({{"model_type", "gpt2"},
                {"n_layer", c.layers},
                {"n_embd", c.width},
                {"n_head", c.heads},
                {"n_inner", c.mlp_width == 0 ? json() : json(c.mlp_width)},
                {"n_positions", c.context},
                {"scale_attn_weights", c.attention_scale == "inverse-sqrt"},
                {"attn_pdrop", 0.0},
                {"embd_pdrop", 0.0},
                {"resid_pdrop", 0.0}});
    return out;
  }
  json kinds = json::array();
  for (bool local : layout.local) kinds.push_back(local ? "local" : "global");
  out.update({{"model_type", "gpt_neo"},
              {"num_layers", c.layers},
              {"hidden_size", c.width},
              {"num_heads", c.heads},
              {"intermediate_size", c.mlp_width == 0 ? json() : json(c.mlp_width)},
              {"max_position_embeddings", c.context},
              {"window_size", layout.window},
              {"attention_types", json::array({json::array({kinds, 1})})},
              {"attention_layers", kinds},
              {"attention_dropout", 0.0},
              {"embed_dropout", 0.0},
              {"resid_dropout", 0.0}});
  return out;
}

}  // namespace mixspan
