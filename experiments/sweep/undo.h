// Changes to files that are put back unless they are kept: what is refused leaves nothing behind.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mixspan {

class Undo {
 public:
  Undo() = default;
  /// Puts back, the newest change first, what was not kept. What cannot be put back is left.
  ~Undo();
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;

  /// Notes what `file` holds, or that it is not there. Before its first change.
  void note(const std::filesystem::path& file);
  /// Makes `folder` and those above it that are missing; put back, they go where they are empty.
  void make_folders(const std::filesystem::path& folder);
  /// All changes so far stay.
  void keep();

 private:
  /// A file and what it held; without a text it was not there.
  std::vector<std::pair<std::filesystem::path, std::optional<std::string>>> before_;
};

/// What `file` holds; empty where it cannot be opened.
std::optional<std::string> text_of(const std::filesystem::path& file);

}  // namespace mixspan
