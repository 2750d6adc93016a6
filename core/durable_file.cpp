#include "core/durable_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace mixspan {

namespace {
class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags)
      : path_(path), fd_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {
    check(fd_ >= 0, "{}: cannot be opened: {}", path.string(), std::strerror(errno));
  }
  ~Descriptor() { ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  void write(std::string_view content) {
    while (!content.empty()) {
      const ssize_t n = ::write(fd_, content.data(), content.size());
      if (n < 0 && errno == EINTR) continue;
      check(n >= 0, "{}: cannot be written: {}", path_.string(), std::strerror(errno));
      content.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  void sync() {
    check(::fsync(fd_) == 0, "{}: fsync failed: {}", path_.string(), std::strerror(errno));
  }

 private:
  std::filesystem::path path_;
  int fd_;
};
}  // namespace

void replace_file(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::path part = path;
  part += ".tmp";
  {
    Descriptor file(part, O_WRONLY | O_CREAT | O_TRUNC);
    file.write(content);
    file.sync();
  }
  std::filesystem::rename(part, path);
  fsync_path(path.has_parent_path() ? path.parent_path() : std::filesystem::path("."));
}

void fsync_path(const std::filesystem::path& path) { Descriptor(path, O_RDONLY).sync(); }

}  // namespace mixspan
