// manifest.json: what a checkpoint holds, and the digests that prove it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace mixspan {

struct FileDigest {
  std::uint64_t bytes = 0;
  std::string xxh3;  ///< 16 hex digits
};

struct Manifest {
  std::int64_t step = 0, tokens_seen = 0;
  std::string build;
  std::string content;  ///< see content_digest()
  std::map<std::string, FileDigest> files;
};

FileDigest file_digest(const std::filesystem::path& file);

/// Writes FOLDER/manifest.json durably; it ends with a digest of itself.
void write_manifest(const std::filesystem::path& folder, const Manifest& manifest);
/// Reads FOLDER/manifest.json. Throws InputError when it is missing, or differs from what
/// write_manifest() wrote in as much as one bit.
Manifest read_manifest(const std::filesystem::path& folder);
/// Compares every file with its size, and with its digest where `digests` says so. Throws
/// InputError.
void verify_files(const std::filesystem::path& folder, const Manifest& manifest, bool digests);

}  // namespace mixspan
