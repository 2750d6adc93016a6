#include "experiments/hf/families.h"

#include <array>
#include <string_view>

#include "core/error.h"
#include "layers/model.h"

namespace mixspan {

namespace {

// Names after "h.N", theirs without Hugging Face's split into query, key and value.
struct Renamed {
  std::string_view ours;
  const char *gpt_neo, *gpt2;
};
constexpr std::array<Renamed, 8> kRenamed = {{
    {".attn.qkv.weight", ".attn.attention.", ".attn.c_attn.weight"},
    {".attn.qkv.bias", nullptr, ".attn.c_attn.bias"},
    {".attn.out.weight", ".attn.attention.out_proj.weight", ".attn.c_proj.weight"},
    {".attn.out.bias", ".attn.attention.out_proj.bias", ".attn.c_proj.bias"},
    {".mlp.fc.weight", ".mlp.c_fc.weight", ".mlp.c_fc.weight"},
    {".mlp.fc.bias", ".mlp.c_fc.bias", ".mlp.c_fc.bias"},
    {".mlp.proj.weight", ".mlp.c_proj.weight", ".mlp.c_proj.weight"},
    {".mlp.proj.bias", ".mlp.c_proj.bias", ".mlp.c_proj.bias"},
}};

}  // namespace

std::string class_of(HfFamily family) {
  return family == HfFamily::gpt_neo ? "GPTNeoForCausalLM" : "GPT2LMHeadModel";
}

std::vector<HfPiece> pieces_of(HfFamily family, const HfParameter& parameter) {
  const std::string& name = parameter.name;
  const std::int64_t rows = parameter.shape[0];
  for (const Renamed& r : kRenamed) {
    if (!name.starts_with("h.") || !name.ends_with(r.ours)) continue;
    const std::string layer = name.substr(0, name.size() - r.ours.size());
    if (family == HfFamily::gpt2) {
      return {{layer + r.gpt2, 0, rows, parameter.shape.rank() == 2}};
    }
    check(r.gpt_neo != nullptr, "{}: GPT-Neo has no such parameter", name);
    if (!name.ends_with("qkv.weight")) return {{layer + r.gpt_neo, 0, rows, false}};
    const std::int64_t C = rows / 3;
    return {{layer + r.gpt_neo + "q_proj.weight", 0, C, false},
            {layer + r.gpt_neo + "k_proj.weight", C, C, false},
            {layer + r.gpt_neo + "v_proj.weight", 2 * C, C, false}};
  }
  return {{name, 0, rows, false}};
}

bool is_buffer(const std::string& name) {
  // GPT-Neo's attn.attention.bias is a mask; its parameter is attn.attention.out_proj.bias.
  return name.starts_with("h.") &&
         (name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias") ||
          name.ends_with(".attn.attention.bias") || name.ends_with(".attn.attention.masked_bias"));
}

std::vector<HfParameter> hf_parameters(const ModelConfig& config) {
  const ParamList list = declared_params(config);
  std::vector<HfParameter> parameters;
  for (const ParamSpec& s : list.specs()) parameters.push_back({s.name, s.shape});
  return parameters;
}

}  // namespace mixspan
