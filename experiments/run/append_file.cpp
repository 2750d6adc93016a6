#include "experiments/run/append_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace mixspan {

AppendFile::AppendFile(const std::filesystem::path& path, Open how)
    : path_(path),
      fd_(::open(path.c_str(),
                 O_WRONLY | O_CREAT | O_CLOEXEC | (how == Open::append ? O_APPEND : O_EXCL),
                 0666)) {
  check(fd_ >= 0, "{}: cannot be opened: {}", path.string(), std::strerror(errno));
}

AppendFile::~AppendFile() { ::close(fd_); }

void AppendFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    check(n >= 0, "{}: cannot be written: {}", path_.string(), std::strerror(errno));
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

void AppendFile::sync() {
  check(::fsync(fd_) == 0, "{}: fsync failed: {}", path_.string(), std::strerror(errno));
}

}  // namespace mixspan
