#include "experiments/run/model_file.h"

#include "core/error.h"

namespace mixspan {

namespace {

void read_model(const Checkpoint& checkpoint, const Exec& ex, Params& params) {
  for (std::size_t p = 0; p < params.specs().size(); ++p) {
    const ParamSpec& spec = params.specs()[p];
    Tensor whole(spec.shape);
    read_tensors(checkpoint, {{"model/" + spec.name, whole}});
    params.write(ex, static_cast<ParamId>(p), whole);
  }
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

LoadedModel load_model(const std::filesystem::path& path, const Exec& ex) {
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
  Exec as_trained = ex;
  if (ex.device.is_cuda()) as_trained.precision = precision_of(loaded.config);
  loaded.precision = as_trained.precision;
  loaded.model = std::make_unique<Model>(loaded.config.model, Params::Gradients::no,
                                         ModelParallel{}, ParamStorage::of(as_trained));
  read_model(checkpoint, as_trained, loaded.model->params());
  if (!checkpoint.meta().tokenizer_json.empty()) {
    loaded.tokenizer = tokenizer_from_json(checkpoint.meta().tokenizer_json,
                                           (checkpoint.path() / "tokenizer.json").string());
  }
  return loaded;
}

}  // namespace mixspan
