// HDF5 files of named tensors and texts: corpora and checkpoints. The only file that knows HDF5.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"

namespace mixspan {

/// One open file. Everything written is checksummed (fletcher32 on data, version 1.10 metadata), so
/// a flipped bit shows as an error when it is read, never as a wrong number. Names are paths such
/// as "model/wte.weight"; groups are made as needed. Equal writes give files of equal bytes. A file
/// being written is worthless until close().
class H5File {
 public:
  /// Replaces what was there.
  static H5File create(const std::filesystem::path& path);
  /// Opens for reading. Throws InputError when the file is missing, empty, truncated or damaged.
  static H5File open(const std::filesystem::path& path);
  H5File(H5File&& other) noexcept;
  H5File& operator=(H5File&&) = delete;
  ~H5File();

  /// Writes a contiguous view of any dtype as a new dataset.
  void write(const std::string& name, const ConstView& data);
  /// A text as a dataset of bytes (UTF-8 or not).
  void write_text(const std::string& name, std::string_view text);
  /// Appends to a one-dim dataset, which is made at the first append.
  void append(const std::string& name, const ConstView& data);
  /// Whole-number and text attributes of the file itself.
  void set_attribute(const std::string& name, std::int64_t value);
  void set_attribute(const std::string& name, const std::string& value);

  bool has(const std::string& name) const;
  std::vector<std::string> names() const;  ///< all datasets, sorted
  Shape shape(const std::string& name) const;
  DType dtype(const std::string& name) const;
  /// Fills a contiguous view; shape and dtype must be the dataset's.
  void read(const std::string& name, View into) const;
  /// Fills a one-dim view with elements [begin, begin + into.size()) of a one-dim dataset.
  void read_range(const std::string& name, std::int64_t begin, View into) const;
  std::string read_text(const std::string& name) const;
  bool has_attribute(const std::string& name) const;
  std::int64_t int_attribute(const std::string& name) const;
  std::string text_attribute(const std::string& name) const;

  const std::filesystem::path& path() const { return path_; }
  /// Flushes, closes and fsyncs a file that was created; a file opened for reading is just closed.
  void close();

 private:
  H5File(std::filesystem::path path, std::int64_t id, bool writable);
  std::filesystem::path path_;
  std::int64_t id_ = -1;
  bool writable_ = false;
};

}  // namespace mixspan
