#include <fcntl.h>
#include <stdio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <system_error>

#include "core/durable_file.h"
#include "experiments/run/checkpoint_folder.h"
#include "experiments/run/manifest.h"

namespace mixspan {

namespace fs = std::filesystem;

namespace {

TensorStream stream_of(std::span<const NamedConstView> tensors) {
  std::vector<NamedConstView> all(tensors.begin(), tensors.end());
  std::sort(all.begin(), all.end(),
            [](const NamedConstView& a, const NamedConstView& b) { return a.name < b.name; });
  return [all = std::move(all)](const PutTensor& put) {
    for (const NamedConstView& t : all) put(t.name, t.view);
  };
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  check(!error, "{}: cannot be made: {}", folder.string(), error.message());
}

fs::path parent_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

void rename_durably(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  check(!error, "{}: cannot be published as {}: {}", from.string(), to.filename().string(),
        error.message());
  fsync_path(parent_of(to));
}

// Removes a folder, best effort: what stays is cleaned up by the next save.
void discard(const fs::path& folder) {
  std::error_code ignored;
  fs::remove_all(folder, ignored);
}

// A writer that was cut off and came back must not write into the folder of the one after it.
std::string unique_part(const std::string& name) {
  return fmt::format("{}.{:08x}.tmp", name, std::random_device()());
}

// Writes the tensors and returns the digest of meta and tensors.
std::string write_state(const fs::path& file, const CheckpointMeta& meta,
                        const TensorStream& tensors) {
  ContentHash hash(meta);
  H5File state = H5File::create(file);
  std::string last;
  tensors([&](const std::string& name, const ConstView& tensor) {
    check_contiguous(name, tensor);
    check(last != name, "checkpoint: two tensors are named {}", name);
    check(last < name, "checkpoint: tensor {} comes after {}", name, last);
    last = name;
    hash.add(name, tensor);
    state.write(name, tensor);
  });
  state.close();
  return hash.hex();
}

// Writes a whole checkpoint into a new folder, durably, but under a name that nobody reads. Returns
// its content's digest.
std::string write_folder(const fs::path& folder, const CheckpointMeta& meta,
                         const TensorStream& tensors) {
  discard(folder);
  make_folder(folder);
  try {
    const std::string content = write_state(folder / kStateFile, meta, tensors);
    replace_file(folder / kConfigFile, meta.config_toml);
    if (!meta.tokenizer_json.empty()) replace_file(folder / kTokenizerFile, meta.tokenizer_json);
    Manifest manifest{meta.step, meta.tokens_seen, meta.build, content, {}};
    for (const char* name : {kStateFile, kConfigFile, kTokenizerFile}) {
      if (fs::exists(folder / name)) manifest.files[name] = file_digest(folder / name);
    }
    write_manifest(folder, manifest);  // last: without it the folder counts for nothing
    return content;
  } catch (...) {
    discard(folder);  // a full disk should get its space back
    throw;
  }
}

bool holds(const fs::path& published, const std::string& content) {
  try {
    return fs::exists(published) && Checkpoint::open(published).content() == content;
  } catch (const InputError&) {
    return false;
  }
}

// Puts `part` in the place of `published`. Whatever was there is gone afterwards.
void publish(const fs::path& part, const fs::path& published,
             const std::function<void()>& still_ours) {
  try {
    still_ours();
  } catch (...) {
    discard(part);
    throw;
  }
  if (!fs::exists(published)) return rename_durably(part, published);
  // Swapping the two names leaves no moment without a checkpoint of that name.
  if (::renameat2(AT_FDCWD, part.c_str(), AT_FDCWD, published.c_str(), RENAME_EXCHANGE) != 0) {
    check(errno == EINVAL || errno == ENOSYS, "{}: cannot be replaced: {}", published.string(),
          std::strerror(errno));
    const fs::path old = published.string() + ".old.tmp";
    discard(old);
    rename_durably(published, old);
    rename_durably(part, published);
    return discard(old);
  }
  fsync_path(parent_of(published));
  discard(part);
}

void point_latest(const fs::path& folder, const std::string& name) {
  const fs::path link = folder / "latest", part = folder / "latest.tmp";
  std::error_code error;
  if (fs::read_symlink(link, error) == name) return;
  fs::remove(part, error);
  fs::create_symlink(name, part, error);
  check(!error, "{}: cannot be made: {}", part.string(), error.message());
  rename_durably(part, link);
}

bool looks_whole(const fs::path& checkpoint) {
  try {
    verify_files(checkpoint, read_manifest(checkpoint), /*digests=*/false);
    return true;
  } catch (const InputError&) {
    return false;
  }
}

// Damaged checkpoints do not count as kept, and are removed when they are older. Newer ones than
// the one just saved can only be damaged; they stay until their step is saved again.
void prune(const fs::path& folder, std::int64_t newest, int keep) {
  if (keep <= 0) return;
  int kept = 1;
  for (const StepFolder& step : step_folders(folder)) {
    if (step.step >= newest) continue;
    if (kept < keep && looks_whole(step.path)) {
      ++kept;
      continue;
    }
    // Renamed first, so that a kill amid the removal leaves no half checkpoint.
    const fs::path part = step.path.string() + ".tmp";
    rename_durably(step.path, part);
    discard(part);
  }
}

void remove_leftovers(const fs::path& folder) {
  std::vector<fs::path> leftovers;
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  check(!error, "{}: cannot be listed: {}", folder.string(), error.message());
  for (const fs::directory_entry& entry : entries) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-") && name.ends_with(".tmp")) leftovers.push_back(entry.path());
  }
  for (const fs::path& leftover : leftovers) discard(leftover);
}

}  // namespace

fs::path save_checkpoint(const fs::path& folder, const CheckpointMeta& meta,
                         const TensorStream& tensors, int keep,
                         const std::function<void()>& still_ours) {
  check(meta.step >= 0, "checkpoint of step {}", meta.step);
  const std::string name = step_name(meta.step);
  const fs::path published = folder / name, part = folder / unique_part(name);
  make_folder(folder);
  still_ours();
  remove_leftovers(folder);
  const std::string content = write_folder(part, meta, tensors);
  if (holds(published, content)) {
    discard(part);
  } else {
    publish(part, published, still_ours);
  }
  point_latest(folder, name);
  prune(folder, meta.step, keep);
  return published;
}

fs::path save_checkpoint(const fs::path& folder, const CheckpointMeta& meta,
                         std::span<const NamedConstView> tensors, int keep,
                         const std::function<void()>& still_ours) {
  return save_checkpoint(folder, meta, stream_of(tensors), keep, still_ours);
}

void write_checkpoint(const fs::path& path, const CheckpointMeta& meta,
                      std::span<const NamedConstView> tensors) {
  const fs::path folder = path.has_filename() ? path : path.parent_path();  // "out/" is "out"
  require(!fs::exists(folder), "{}: is there already; remove it or give another path",
          folder.string());
  make_folder(parent_of(folder));
  const fs::path part = folder.string() + ".mixspan.tmp";
  write_folder(part, meta, stream_of(tensors));
  rename_durably(part, folder);
}

}  // namespace mixspan
