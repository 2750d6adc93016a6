// What the reading and the writing of checkpoints share: names, the list of steps, the digest.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/hash.h"
#include "experiments/run/checkpoint.h"

namespace mixspan {

inline constexpr const char* kStateFile = "state.h5";
inline constexpr const char* kConfigFile = "config.toml";
inline constexpr const char* kTokenizerFile = "tokenizer.json";

struct StepFolder {
  std::int64_t step;
  std::filesystem::path path;
};
/// The published checkpoints, whole or damaged, newest first.
std::vector<StepFolder> step_folders(const std::filesystem::path& folder);
/// "step-00000200"
std::string step_name(std::int64_t step);

/// The hash behind content_digest(). Tensors are added in the order of their names.
class ContentHash {
 public:
  explicit ContentHash(const CheckpointMeta& meta);
  void add(const std::string& name, const ConstView& tensor);
  std::string hex() const { return to_hex(hash_.digest()); }

 private:
  void add_number(std::int64_t value);
  void add_text(const std::string& text);
  Xxh3 hash_;
};

}  // namespace mixspan
