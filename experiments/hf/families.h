// The two Hugging Face model families that Mixspan can read and write, and how they name things.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "experiments/hf/gpt_neo.h"
#include "layers/model_config.h"

namespace mixspan {

enum class HfFamily { gpt_neo, gpt2 };

/// "GPTNeoForCausalLM" or "GPT2LMHeadModel".
std::string class_of(HfFamily family);

/// One tensor of Hugging Face and the rows of our parameter that it holds.
struct HfPiece {
  std::string name;  ///< without "transformer."
  std::int64_t first_row, rows;
  bool transposed;  ///< theirs is (columns, rows): GPT-2's Conv1D
};

/// The tensors that make up a parameter, first rows first. Import and export both follow it.
std::vector<HfPiece> pieces_of(HfFamily family, const HfParameter& parameter);

/// True for buffers that old checkpoints hold beside the parameters (masks): nothing to read.
bool is_buffer(const std::string& name);

/// What config.json says. Throws InputError that names `path` and the key for what Mixspan would
/// compute differently.
struct HfConfig {
  HfFamily family = HfFamily::gpt_neo;
  ModelConfig model;
  bool tied = true;
};
HfConfig read_hf_config(const std::filesystem::path& path);

/// config.json of a model that the family can hold. `window` is GPT-Neo's one window; layers whose
/// entry in `local` is true slide by it.
struct HfLayout {
  HfFamily family = HfFamily::gpt_neo;
  std::vector<bool> local;
  std::int64_t window = 256;
  bool fold_scale = false;
};
/// Chooses the family; throws InputError that says what the families hold when none can.
HfLayout choose_layout(const ModelConfig& config);
nlohmann::json hf_config_json(const ModelConfig& config, const HfLayout& layout,
                              std::int64_t end_of_text);

}  // namespace mixspan
