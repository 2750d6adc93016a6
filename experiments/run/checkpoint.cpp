// Reading, and finding what to read. Writing is in checkpoint_save.cpp.
#include "experiments/run/checkpoint.h"

#include <fstream>
#include <iterator>
#include <system_error>

#include "core/hash.h"
#include "experiments/run/checkpoint_folder.h"
#include "experiments/run/manifest.h"

namespace mixspan {

namespace {

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  require(in.is_open(), "{}: cannot be read", file.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

Checkpoint::Checkpoint(std::filesystem::path path, CheckpointMeta meta, std::string content,
                       H5File state)
    : path_(std::move(path)),
      meta_(std::move(meta)),
      content_(std::move(content)),
      state_(std::move(state)) {}

Checkpoint Checkpoint::open(const std::filesystem::path& path) {
  const std::filesystem::path folder =
      path.filename() == "manifest.json" ? path.parent_path() : path;
  const Manifest manifest = read_manifest(folder);
  for (const char* name : {kStateFile, kConfigFile}) {
    require(manifest.files.contains(name), "{}: is not a checkpoint: its manifest names no {}",
            folder.string(), name);
  }
  verify_files(folder, manifest, /*digests=*/true);
  CheckpointMeta meta{.step = manifest.step,
                      .tokens_seen = manifest.tokens_seen,
                      .config_toml = text_of(folder / kConfigFile),
                      .tokenizer_json = {},
                      .build = manifest.build};
  if (manifest.files.contains(kTokenizerFile)) {
    meta.tokenizer_json = text_of(folder / kTokenizerFile);
  }
  return Checkpoint(folder, std::move(meta), manifest.content, H5File::open(folder / kStateFile));
}

NewestCheckpoint find_newest(const std::filesystem::path& folder) {
  NewestCheckpoint newest;
  for (const StepFolder& step : step_folders(folder)) {
    try {
      const Checkpoint checkpoint = Checkpoint::open(step.path);
      require(checkpoint.meta().step == step.step, "{}: holds step {}", step.path.string(),
              checkpoint.meta().step);
      newest.path = step.path;
      newest.step = step.step;
      return newest;
    } catch (const InputError& e) {
      newest.damaged.push_back(e.what());
    }
  }
  require(newest.damaged.empty(),
          "{}: none of its checkpoints can be used; the newest: {}; restore one, or give another "
          "--run-dir to start anew",
          folder.string(), newest.damaged.empty() ? "" : newest.damaged.front());
  return newest;
}

NewestCheckpoint find_checkpoint(const std::filesystem::path& run_or_checkpoint) {
  const std::filesystem::path inside = run_or_checkpoint / "checkpoints";
  if (!std::filesystem::is_directory(inside)) return {run_or_checkpoint, {}};
  NewestCheckpoint newest = find_newest(inside);
  require(newest.path.has_value(), "{}: the run has no checkpoint yet", run_or_checkpoint.string());
  return newest;
}

std::string content_digest(const std::filesystem::path& path) {
  const Checkpoint checkpoint = Checkpoint::open(path);
  ContentHash hash(checkpoint.meta());
  for (const std::string& name : checkpoint.names()) {
    Tensor tensor(checkpoint.shape(name), checkpoint.dtype(name));
    checkpoint.read(name, tensor);
    hash.add(name, tensor);
  }
  const std::string content = hash.hex();
  require(content == checkpoint.content(),
          "{}: is damaged: its content's digest is {}, and its manifest says {}",
          checkpoint.path().string(), content, checkpoint.content());
  return content;
}

}  // namespace mixspan
