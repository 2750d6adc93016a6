// A trained model as eval, generate and export want it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/tokenizer.h"
#include "experiments/run/checkpoint.h"
#include "experiments/run/run_config.h"
#include "layers/model.h"

namespace mixspan {

struct LoadedModel {
  RunConfig config;
  std::unique_ptr<Model> model;
  std::unique_ptr<Tokenizer> tokenizer;   ///< null for models of synthetic tasks
  Precision precision = Precision::fp32;  ///< what it is to be computed in: as it was trained
  std::int64_t step = 0, tokens_seen = 0;
  std::filesystem::path checkpoint;
  std::vector<std::string> notes;  ///< damaged newer checkpoints that were passed over
};

/// `path`: a run directory (its newest sound checkpoint) or one checkpoint. The model lies where
/// the Exec computes, whose precision is the caller's to set as the result says. Throws InputError,
/// one line.
LoadedModel load_model(const std::filesystem::path& path, const Exec&);

/// Fills views from the tensors GROUP/NAME of a checkpoint; throws InputError when one is missing
/// or has another shape.
void read_tensors(const Checkpoint& checkpoint, const std::vector<NamedView>& tensors);

}  // namespace mixspan
