// XXH3 digests of memory and files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

namespace mixspan {

/// XXH3, 64 bits, seed 0.
std::uint64_t xxh3_64(const void* data, std::size_t bytes);

/// XXH3 over data that arrives in pieces; the same value as xxh3_64 over all of it.
class Xxh3 {
 public:
  Xxh3();
  ~Xxh3();
  Xxh3(const Xxh3&) = delete;
  Xxh3& operator=(const Xxh3&) = delete;
  void update(const void* data, std::size_t bytes);
  std::uint64_t digest() const;

 private:
  void* state_;
};

/// Digest of a whole file, read in pieces. Throws InputError when it cannot be read.
std::uint64_t xxh3_file(const std::filesystem::path& path);

/// 16 lower-case hex digits.
std::string to_hex(std::uint64_t value);

}  // namespace mixspan
