// A file that only grows: metrics, logs, event files.
#pragma once

#include <filesystem>
#include <string_view>

namespace mixspan {

class AppendFile {
 public:
  enum class Open { make_new, append };
  /// make_new fails where there is one; append makes it where there is none.
  AppendFile(const std::filesystem::path& path, Open how);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  /// Hands the bytes to the kernel: a killed process loses none of them.
  void write(std::string_view bytes);
  /// Makes what was written survive a crash of the machine.
  void sync();

 private:
  std::filesystem::path path_;
  int fd_;
};

}  // namespace mixspan
