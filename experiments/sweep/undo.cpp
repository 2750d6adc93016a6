#include "experiments/sweep/undo.h"

#include <exception>
#include <fstream>
#include <iterator>

#include "core/durable_file.h"

namespace mixspan {

namespace fs = std::filesystem;

Undo::~Undo() {
  for (auto change = before_.rbegin(); change != before_.rend(); ++change) {
    const auto& [path, text] = *change;
    try {
      if (text) {
        replace_file(path, *text);
      } else {
        fs::remove(path);  // throws for a folder that is not empty
      }
    } catch (const std::exception&) {  // the reason why it is put back matters more
    }
  }
}

void Undo::note(const fs::path& file) { before_.emplace_back(file, text_of(file)); }

void Undo::make_folders(const fs::path& folder) {
  if (fs::is_directory(folder)) return;
  if (folder.has_parent_path() && folder.parent_path() != folder)
    make_folders(folder.parent_path());
  if (fs::create_directory(folder)) before_.emplace_back(folder, std::nullopt);
}

void Undo::keep() { before_.clear(); }

std::optional<std::string> text_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in.is_open()) return {};
  return std::string{std::istreambuf_iterator<char>(in), {}};
}

}  // namespace mixspan
