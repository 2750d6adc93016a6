// Which algorithm each matrix product of a run uses, kept so that all ranks and every later start
// of the run use the same: cuBLASLt's algorithms sum in different orders, so the choice decides
// bits.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace mixspan::cuda {

/// cuBLASLt's own description of an algorithm, which it says may be stored and used again with the
/// same version of the library.
using AlgorithmWords = std::array<std::uint64_t, 8>;

/// A text file: a heading, one line "KEY<tab>WORDS" for each product, sorted, and a checksum. A key
/// holds the device and the version of the library, so that one file serves several of them.
/// Whoever first needs a key chooses, under a lock (PATH.lock) that all processes and threads take;
/// everybody else finds the choice in the file. So ranks agree without talking to each other, also
/// where they do not make the same products. The file is replaced in one step.
class AlgorithmFile {
 public:
  /// An empty path keeps the choices in memory alone. A file that is not one of these, or is
  /// damaged, is refused.
  explicit AlgorithmFile(std::filesystem::path path);

  /// The algorithm kept for `key`; otherwise what choose() gives, which is kept unless it is
  /// nothing. choose() must not wait for another rank. Thread-safe.
  std::optional<AlgorithmWords> get(const std::string& key,
                                    const std::function<std::optional<AlgorithmWords>()>& choose);

  std::size_t size() const { return kept_.size(); }

 private:
  using Kept = std::map<std::string, AlgorithmWords>;
  void read();

  std::filesystem::path path_;
  std::mutex mutex_;
  Kept kept_;
};

}  // namespace mixspan::cuda
