// The safetensors format of Hugging Face: reading files that may be damaged or hostile, and
// writing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/named_view.h"
#include "core/tensor.h"

namespace mixspan {

/// Where one tensor lies. Checked when the file is opened: the bytes are inside the file and their
/// number is that of the dtype and the shape.
struct SafetensorsEntry {
  std::filesystem::path file;
  std::string dtype;               ///< as the format writes it: "F32", "BF16", "I64", ..
  std::vector<std::int64_t> dims;  ///< outermost first; empty for a scalar
  std::uint64_t begin = 0;         ///< first byte in the file
  std::uint64_t bytes = 0;
};

/// The tensors of one model: one file, or the files that an index names.
class Safetensors {
 public:
  /// Reads the header of one file. Throws InputError, one line, unless the whole file is sound:
  /// ranges inside it, without overlap or hole, each of the size its dtype and shape say.
  static Safetensors open_file(const std::filesystem::path& path);
  /// FOLDER/model.safetensors, else the shards that FOLDER/model.safetensors.index.json names.
  static Safetensors open_folder(const std::filesystem::path& folder);

  bool has(const std::string& name) const { return entries_.contains(name); }
  const std::map<std::string, SafetensorsEntry>& entries() const { return entries_; }
  /// Throws InputError when there is no such tensor.
  const SafetensorsEntry& entry(const std::string& name) const;
  /// Fills a contiguous f32 view from F32, F16 or BF16 (both widen exactly). Throws InputError when
  /// the shape is not the view's or the dtype is another.
  void read(const std::string& name, View into) const;
  const std::filesystem::path& source() const { return source_; }  ///< the file or the index

 private:
  std::filesystem::path source_;
  std::map<std::string, SafetensorsEntry> entries_;
};

/// Writes contiguous f32 views as one file, data in the given order, in one step: a reader sees the
/// old file or the new one. The metadata says {"format": "pt"}, which `transformers` asks for.
void write_safetensors(const std::filesystem::path& path,
                       const std::vector<NamedConstView>& tensors);

}  // namespace mixspan
