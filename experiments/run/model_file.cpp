#include "experiments/run/model_file.h"

#include "core/error.h"

namespace mixspan {

namespace {

// The tensors "model/NAME" of a model, for reading a checkpoint.
std::vector<NamedView> model_tensors(Model& model) {
  std::vector<NamedView> tensors = model.params().named(model.params().weights());
  for (NamedView& t : tensors) t.name = "model/" + t.name;
  return tensors;
}

}  // namespace

void read_tensors(const Checkpoint& checkpoint, const std::vector<NamedView>& tensors) {
  for (const auto& [name, view] : tensors) {
    require(checkpoint.has(name), "{}: holds no tensor {}", checkpoint.path().string(), name);
    require(checkpoint.shape(name) == view.shape(), "{}: {} has shape {}, its config says {}",
            checkpoint.path().string(), name, checkpoint.shape(name).str(), view.shape().str());
    checkpoint.read(name, view);
  }
}

LoadedModel load_model(const std::filesystem::path& path) {
  LoadedModel loaded;
  NewestCheckpoint found = find_checkpoint(path);
  loaded.notes = std::move(found.damaged);
  const Checkpoint checkpoint = Checkpoint::open(*found.path);
  loaded.checkpoint = checkpoint.path();
  const std::string where = (checkpoint.path() / "config.toml").string();
  schema_of(loaded.config).read_text(checkpoint.meta().config_toml, where);
  validate(loaded.config.model);
  require(loaded.config.model.vocab > 0, "{}: model.vocab is missing", where);
  loaded.step = checkpoint.meta().step;
  loaded.tokens_seen = checkpoint.meta().tokens_seen;
  loaded.model = std::make_unique<Model>(loaded.config.model, Params::Gradients::no);
  read_tensors(checkpoint, model_tensors(*loaded.model));
  if (!checkpoint.meta().tokenizer_json.empty()) {
    loaded.tokenizer = tokenizer_from_json(checkpoint.meta().tokenizer_json,
                                           (checkpoint.path() / "tokenizer.json").string());
  }
  return loaded;
}

}  // namespace mixspan
