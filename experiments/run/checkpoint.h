// Checkpoints: folders that are either whole and provably undamaged, or not used.
//   step-00000200/state.h5        every tensor by its name, global (unsharded), so any mesh can
//   load it
//                 config.toml     the resolved config of the run
//                 tokenizer.json  where there is one
//                 manifest.json   step, tokens, build, size and XXH3 of each file, digest of itself
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/h5.h"
#include "core/named_view.h"

namespace mixspan {

struct CheckpointMeta {
  std::int64_t step = 0;
  std::int64_t tokens_seen = 0;
  std::string config_toml;     ///< the resolved config
  std::string tokenizer_json;  ///< empty where the data has no tokenizer
  std::string build;           ///< which program wrote it
};

/// Calls put(name, tensor) for each tensor of a checkpoint, by rising name. A tensor need not live
/// longer than the call, so that a state larger than memory can be saved.
using PutTensor = std::function<void(const std::string& name, const ConstView& tensor)>;
using TensorStream = std::function<void(const PutTensor& put)>;

/// Writes RUN/checkpoints/step-%08d: everything goes to a folder step-*.tmp first, is fsynced, and
/// is published by one rename; then `latest` is pointed to it and the oldest are removed until
/// `keep` are left (0 keeps all). Killed anywhere, it leaves either the new checkpoint or none, and
/// every earlier one. A whole one of the same step and content is left as it is, any other is
/// replaced. Tensors must be contiguous and have distinct names, such as "model/wte.weight",
/// "adam_m/...". `still_ours` is called before anything is removed and again just before the
/// rename, which may be minutes later; it throws where the run's lease was lost, and then nothing
/// is published. Throws Error when the disk is full or the folder unwritable.
std::filesystem::path save_checkpoint(
    const std::filesystem::path& folder, const CheckpointMeta& meta, const TensorStream& tensors,
    int keep, const std::function<void()>& still_ours = [] {});
std::filesystem::path save_checkpoint(
    const std::filesystem::path& folder, const CheckpointMeta& meta,
    std::span<const NamedConstView> tensors, int keep,
    const std::function<void()>& still_ours = [] {});

/// The same for one checkpoint that stands alone (`mixspan import --out`). Refuses a path where
/// there is something already.
void write_checkpoint(const std::filesystem::path& path, const CheckpointMeta& meta,
                      std::span<const NamedConstView> tensors);

class Checkpoint {
 public:
  /// Opens a checkpoint's folder, or the manifest in it, and verifies the digest of every byte.
  /// Throws InputError, one line that names the file and what is wrong with it.
  static Checkpoint open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const CheckpointMeta& meta() const { return meta_; }
  std::vector<std::string> names() const { return state_.names(); }  ///< sorted
  bool has(const std::string& name) const { return state_.has(name); }
  Shape shape(const std::string& name) const { return state_.shape(name); }
  /// bf16 is stored, and comes back, as u16.
  DType dtype(const std::string& name) const { return state_.dtype(name); }
  /// Fills a contiguous view of the tensor's own shape and dtype.
  void read(const std::string& name, View into) const { state_.read(name, into); }
  /// See content_digest().
  const std::string& content() const { return content_; }

 private:
  Checkpoint(std::filesystem::path path, CheckpointMeta meta, std::string content, H5File state);
  std::filesystem::path path_;
  CheckpointMeta meta_;
  std::string content_;
  H5File state_;
};

struct NewestCheckpoint {
  std::optional<std::filesystem::path> path;  ///< empty where there is no checkpoint at all
  std::vector<std::string> damaged;           ///< one line for each newer one that cannot be used
  std::int64_t step = -1;                     ///< of what find_newest() found, or -1
};
/// The newest checkpoint of RUN/checkpoints that verifies. Damaged ones are stepped over and
/// reported; where there are only damaged ones it throws InputError, so that no run starts anew
/// over them unasked. A folder that does not exist holds none.
NewestCheckpoint find_newest(const std::filesystem::path& folder);

/// For a command that takes RUN|CHECKPOINT: a run's newest checkpoint, as above but refusing a run
/// that has none; any other path as it is.
NewestCheckpoint find_checkpoint(const std::filesystem::path& run_or_checkpoint);

/// 16 hex digits over step, tokens, config, tokenizer and every tensor's name, dtype, shape and
/// bits; not over the build. Equal digests mean equal training states.
std::string content_digest(const std::filesystem::path& path);

}  // namespace mixspan
