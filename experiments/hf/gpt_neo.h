// Models of Hugging Face's GPT-Neo and GPT-2 families as Mixspan models, and back.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/named_view.h"
#include "core/tensor.h"
#include "layers/model_config.h"

namespace mixspan {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

struct HfModel {
  ModelConfig config;  ///< `spans` lists every layer; `vocab` is set
  /// Mixspan's names, f32, in the order of hf_parameters(config).
  std::vector<NamedTensor> params;
  std::filesystem::path folder;  ///< its tokenizer is load_tokenizer("hf:FOLDER")
};

/// Reads config.json and the safetensors of a GPTNeoForCausalLM or GPT2LMHeadModel folder; every
/// number is bit for bit the file's (F16 and BF16 widen). Throws InputError, one line that names
/// the key or the tensor, for whatever Mixspan would compute differently.
HfModel read_hf_model(const std::filesystem::path& folder);

/// Gives the model a longer context: row p of its new position table is row p % context of the old
/// one, so that texts as long as before come out with the same bits and longer ones begin with
/// positions that training has seen. Throws InputError unless `context` is longer.
void tile_positions(HfModel& model, std::int64_t context);

/// What write_hf_model() wrote.
struct HfExport {
  std::string family;         ///< "GPTNeoForCausalLM" or "GPT2LMHeadModel"
  bool scale_folded = false;  ///< 1/sqrt(H) was multiplied into the query weights
  bool exact = true;          ///< false when that fold rounded (sqrt(H) is no power of two)
  bool bias_added = false;    ///< zero query, key and value biases, which GPT-2 always has
};

/// What goes into the folder besides the model.
struct HfExtras {
  std::int64_t end_of_text = -1;             ///< bos and eos id; -1: none
  std::map<std::string, std::string> files;  ///< plain file name -> content, e.g. tokenizer.json
};

/// Writes config.json and model.safetensors (f32) into a new folder that appears whole or not at
/// all. `params` holds the names and shapes of hf_parameters(config) in its order, contiguous f32.
///
/// Families: GPT-2 holds full layers with either scale and with biases on query, key and value
/// (zeros where the model has none). GPT-Neo holds full layers and sliding ones of one window,
/// without those biases, with scale 1; scale 1/sqrt(H) is folded into the query weights: exact when
/// sqrt(H) is a power of two, else each query weight is rounded once (2^-24 relative). A span that
/// covers the whole context counts as full. Throws InputError when neither family can hold the
/// model, or when `folder` exists and is not empty.
HfExport write_hf_model(const std::filesystem::path& folder, const ModelConfig& config,
                        const std::vector<NamedConstView>& params, const HfExtras& extras = {});

/// Name and shape of every parameter of a model, in order.
struct HfParameter {
  std::string name;
  Shape shape;
};
std::vector<HfParameter> hf_parameters(const ModelConfig& config);

}  // namespace mixspan
