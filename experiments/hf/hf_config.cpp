// config.json of Hugging Face <-> ModelConfig.
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "experiments/hf/checked_json.h"
#include "experiments/hf/families.h"

namespace mixspan {

namespace {

using nlohmann::json;
namespace fs = std::filesystem;

// Far above any model there is; keeps sizes from overflowing and lists from filling the memory.
constexpr std::int64_t kMostLayers = 4096, kLargest = std::int64_t{1} << 28;

// Reads keys of one config.json. An absent key, or null, means the default, which is that of the
// Hugging Face class.
class Keys {
 public:
  explicit Keys(const fs::path& path) : path_(path), values_(read_json_object(path)) {}

  // `keys` are names for one value; the first one present counts.
  std::int64_t whole(std::initializer_list<const char*> keys, std::int64_t otherwise,
                     std::int64_t most) const {
    for (const char* key : keys) {
      const json* v = find(key);
      if (v == nullptr) continue;
      require(v->is_number_integer() && *v >= 1 && *v <= most,
              "{}: {} = {}; wanted a whole number from 1 to {}", path_.string(), key, shown(*v),
              most);
      return v->get<std::int64_t>();
    }
    return otherwise;
  }
  double number(const char* key, double otherwise) const {
    const json* v = find(key);
    if (v == nullptr) return otherwise;
    require(v->is_number(), "{}: {} = {}; wanted a number", path_.string(), key, shown(*v));
    return v->get<double>();
  }
  bool flag(const char* key, bool otherwise) const {
    const json* v = find(key);
    if (v == nullptr) return otherwise;
    require(v->is_boolean(), "{}: {} = {}; wanted true or false", path_.string(), key, shown(*v));
    return v->get<bool>();
  }
  std::string text(const char* key, const std::string& otherwise) const {
    const json* v = find(key);
    if (v == nullptr) return otherwise;
    require(v->is_string(), "{}: {} = {}; wanted a text", path_.string(), key, shown(*v));
    return v->get<std::string>();
  }
  // A switch that changes the mathematics into something Mixspan does not have.
  void refuse_unless(const char* key, bool wanted) const {
    require(flag(key, wanted) == wanted, "{}: {} = {}; Mixspan only knows {}", path_.string(), key,
            !wanted, wanted);
  }
  const json* find(const char* key) const {
    const auto found = values_.find(key);
    return found == values_.end() || found->is_null() ? nullptr : &*found;
  }
  std::string path() const { return path_.string(); }
  static std::string shown(const json& v) {
    std::string text = v.dump(-1, ' ', true, json::error_handler_t::replace);
    return text.size() > 80 ? text.substr(0, 80) + ".." : text;
  }

 private:
  fs::path path_;
  json values_;
};

HfFamily read_family(const Keys& keys) {
  const std::string type = keys.text("model_type", "");
  require(type == "gpt_neo" || type == "gpt2",
          "{}: model_type = {}; wanted \"gpt_neo\" or \"gpt2\"", keys.path(), in_quotes(type));
  const HfFamily family = type == "gpt_neo" ? HfFamily::gpt_neo : HfFamily::gpt2;
  const std::string base = family == HfFamily::gpt_neo ? "GPTNeoModel" : "GPT2Model";
  if (const json* classes = keys.find("architectures"); classes != nullptr) {
    require(classes->is_array() && !classes->empty() &&
                (classes->front() == class_of(family) || classes->front() == base),
            "{}: architectures = {}; wanted [\"{}\"]", keys.path(), Keys::shown(*classes),
            class_of(family));
  }
  return family;
}

// [[["global", "local"], 12]] -> global, local, global, ..
std::vector<std::string> expand_attention_types(const Keys& keys, std::int64_t layers) {
  static const json kDefault = json::array({json::array({json::array({"global", "local"}), 12})});
  const json* given = keys.find("attention_types");
  const json& types = given == nullptr ? kDefault : *given;
  const std::string wanted =
      fmt::format("{}: attention_types = {}; wanted a list such as [[[\"global\", \"local\"], 12]]",
                  keys.path(), Keys::shown(types));
  std::vector<std::string> kinds;
  require(types.is_array(), "{}", wanted);
  for (const json& item : types) {
    require(item.is_array() && item.size() == 2 && item[0].is_array() && !item[0].empty() &&
                item[1].is_number_integer() && item[1] >= 0,
            "{}", wanted);
    const auto times = item[1].get<std::int64_t>();
    for (std::int64_t n = 0; n < times; ++n) {
      for (const json& kind : item[0]) {
        require(kind == "global" || kind == "local", "{}", wanted);
        kinds.push_back(kind.get<std::string>());
      }
      require(static_cast<std::int64_t>(kinds.size()) <= layers,
              "{}: attention_types describes more than the {} layers of num_layers", keys.path(),
              layers);
    }
  }
  require(static_cast<std::int64_t>(kinds.size()) == layers,
          "{}: attention_types describes {} layers, num_layers = {}", keys.path(), kinds.size(),
          layers);
  const json* expanded = keys.find("attention_layers");
  require(expanded == nullptr || *expanded == json(kinds),
          "{}: attention_layers = {} is not what attention_types says", keys.path(),
          expanded == nullptr ? "" : Keys::shown(*expanded));
  return kinds;
}

void read_activation(const Keys& keys) {
  const std::string name = keys.text("activation_function", "gelu_new");
  require(name == "gelu_new" || name == "gelu_pytorch_tanh",
          "{}: activation_function = {}; wanted \"gelu_new\" (the tanh GELU)", keys.path(),
          in_quotes(name));
}

ModelConfig read_gpt_neo(const Keys& keys) {
  ModelConfig c;
  c.layers = keys.whole({"num_layers", "num_hidden_layers"}, 24, kMostLayers);
  c.width = keys.whole({"hidden_size"}, 2048, kLargest);
  c.heads = keys.whole({"num_heads", "num_attention_heads"}, 16, kLargest);
  c.mlp_width = keys.whole({"intermediate_size"}, 4 * c.width, 4 * kLargest);
  c.context = keys.whole({"max_position_embeddings"}, 2048, kLargest);
  const std::int64_t window = keys.whole({"window_size"}, 256, kLargest);
  for (const std::string& kind : expand_attention_types(keys, c.layers)) {
    const AnySpan span = kind == "global" ? AnySpan(FullSpan{}) : AnySpan(SlidingSpan{window});
    c.spans.push_back(span.str());
  }
  c.attention_scale = "one";
  c.qkv_bias = false;
  return c;
}

ModelConfig read_gpt2(const Keys& keys) {
  ModelConfig c;
  c.layers = keys.whole({"n_layer", "num_hidden_layers"}, 12, kMostLayers);
  c.width = keys.whole({"n_embd", "hidden_size"}, 768, kLargest);
  c.heads = keys.whole({"n_head", "num_attention_heads"}, 12, kLargest);
  c.mlp_width = keys.whole({"n_inner"}, 4 * c.width, 4 * kLargest);
  c.context = keys.whole({"n_positions", "max_position_embeddings"}, 1024, kLargest);
  c.spans.assign(static_cast<std::size_t>(c.layers), "full");
  c.attention_scale = keys.flag("scale_attn_weights", true) ? "inverse-sqrt" : "one";
  c.qkv_bias = true;
  keys.refuse_unless("scale_attn_by_inverse_layer_idx", false);
  keys.refuse_unless("add_cross_attention", false);
  return c;  // reorder_and_upcast_attn only changes rounding in half precision
}

}  // namespace

HfConfig read_hf_config(const fs::path& path) {
  const Keys keys(path);
  HfConfig out;
  out.family = read_family(keys);
  out.model = out.family == HfFamily::gpt_neo ? read_gpt_neo(keys) : read_gpt2(keys);
  ModelConfig& c = out.model;
  c.vocab = keys.whole({"vocab_size"}, 50257, kLargest);
  if (c.mlp_width == 4 * c.width) c.mlp_width = 0;  // as a Mixspan config says it
  c.layer_norm_eps = keys.number("layer_norm_epsilon", 1e-5);
  require(c.layer_norm_eps > 0 && c.layer_norm_eps < 1,
          "{}: layer_norm_epsilon = {}; wanted between 0 and 1", path.string(), c.layer_norm_eps);
  c.init_std = keys.number("initializer_range", 0.02);
  read_activation(keys);
  out.tied = keys.flag("tie_word_embeddings", true);
  try {
    validate(c);
  } catch (const InputError& e) {
    refuse("{}: {}", path.string(), e.what());
  }
  return out;
}

}  // namespace mixspan
