#include "kernels/cuda/algorithm_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>

#include "core/durable_file.h"
#include "core/error.h"
#include "core/hash.h"

namespace mixspan::cuda {

namespace {

constexpr std::string_view kHeading = "mixspan matrix product algorithms 1\n";
constexpr std::string_view kChecksum = "checksum ";

// An exclusive lock on PATH.lock. Locks of flock belong to the open file, so they hold between the
// threads of a process too; the system drops them when a process dies.
class FileLock {
 public:
  explicit FileLock(const std::filesystem::path& path) : path_(path.string() + ".lock") {
    file_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    check(file_ >= 0, "{}: cannot be opened: {}", path_, std::strerror(errno));
    int result = 0;
    while ((result = flock(file_, LOCK_EX)) != 0 && errno == EINTR) {
    }
    if (result != 0) {
      const int reason = errno;
      close(file_);
      fail("{}: cannot be locked: {}", path_, std::strerror(reason));
    }
  }
  ~FileLock() { close(file_); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  std::string path_;
  int file_ = -1;
};

std::string text_of(const std::map<std::string, AlgorithmWords>& kept) {
  std::string text(kHeading);
  for (const auto& [key, words] : kept) {
    text += key;
    char before = '\t';
    for (const std::uint64_t word : words) {
      text += fmt::format("{}{:016x}", before, word);
      before = ' ';
    }
    text += '\n';
  }
  return text + fmt::format("{}{}\n", kChecksum, to_hex(xxh3_64(text.data(), text.size())));
}

// The words of a line after its tab; false where they are not eight of them.
bool parse_words(std::string_view text, AlgorithmWords& words) {
  constexpr std::size_t kDigits = 16;
  if (text.size() != words.size() * (kDigits + 1) - 1) return false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const char* begin = text.data() + i * (kDigits + 1);
    const auto [end, error] = std::from_chars(begin, begin + kDigits, words[i], 16);
    if (error != std::errc() || end != begin + kDigits) return false;
    if (i + 1 < words.size() && *end != ' ') return false;
  }
  return true;
}

std::map<std::string, AlgorithmWords> parse(const std::filesystem::path& path,
                                            std::string_view text) {
  require(
      text.starts_with(kHeading),
      "{}: not a file of matrix product algorithms (its first line is not \"{}\"); name another "
      "file, or remove it",
      path.string(), kHeading.substr(0, kHeading.size() - 1));
  const std::size_t last = text.rfind(kChecksum);
  const bool whole =
      last != std::string_view::npos && text[last - 1] == '\n' &&
      text.substr(last) == fmt::format("{}{}\n", kChecksum, to_hex(xxh3_64(text.data(), last)));
  require(whole, "{}: damaged: its checksum does not fit; remove it, and new choices are made",
          path.string());
  std::map<std::string, AlgorithmWords> kept;
  std::string_view lines = text.substr(kHeading.size(), last - kHeading.size());
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(line.size() + 1);
    const std::size_t tab = line.find('\t');
    AlgorithmWords words;
    require(tab != std::string_view::npos && parse_words(line.substr(tab + 1), words),
            "{}: this line has no key and eight numbers: {}", path.string(), line);
    kept.emplace(line.substr(0, tab), words);
  }
  return kept;
}

}  // namespace

AlgorithmFile::AlgorithmFile(std::filesystem::path path) : path_(std::move(path)) { read(); }

void AlgorithmFile::read() {
  if (path_.empty() || !std::filesystem::exists(path_)) return;
  std::ifstream file(path_, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  require(file.good(), "{}: cannot be read", path_.string());
  kept_ = parse(path_, text.str());
}

std::optional<AlgorithmWords> AlgorithmFile::get(
    const std::string& key, const std::function<std::optional<AlgorithmWords>()>& choose) {
  check(key.find_first_of("\t\n") == std::string::npos, "a key of {} holds a tab or a new line",
        path_.string());
  const std::lock_guard guard(mutex_);
  if (const auto found = kept_.find(key); found != kept_.end()) return found->second;
  std::optional<FileLock> lock;
  if (!path_.empty()) {
    lock.emplace(path_);
    read();
    if (const auto found = kept_.find(key); found != kept_.end()) return found->second;
  }
  const std::optional<AlgorithmWords> chosen = choose();
  if (!chosen) return chosen;
  kept_.emplace(key, *chosen);
  if (!path_.empty()) replace_file(path_, text_of(kept_));
  return chosen;
}

}  // namespace mixspan::cuda
