// The bytes of a file, unpacked where its name ends in .gz.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace mixspan {

class ByteReader {
 public:
  /// Throws InputError when the file cannot be opened.
  explicit ByteReader(std::filesystem::path path);
  ~ByteReader();
  ByteReader(const ByteReader&) = delete;
  ByteReader& operator=(const ByteReader&) = delete;

  /// Appends up to `bytes` bytes to `out`; false when the end was reached before. Throws
  /// InputError when the file cannot be read on or is damaged.
  bool read(std::string& out, std::size_t bytes);
  std::int64_t position() const;  ///< in the file on disk

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mixspan
