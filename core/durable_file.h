// Files that are either there whole or not there at all.
#pragma once

#include <filesystem>
#include <string_view>

namespace mixspan {

/// Replaces `path` by `content` in one step: writes PATH.tmp, fsyncs it, renames it over `path`,
/// fsyncs the folder. A reader sees the old content or the new, never a part.
void replace_file(const std::filesystem::path& path, std::string_view content);

/// fsyncs a file or a folder; after a rename, the folder's fsync makes the new name survive a
/// crash.
void fsync_path(const std::filesystem::path& path);

}  // namespace mixspan
