#include "experiments/sweep/child_process.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace mixspan {

namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// What a launcher put there for this process would make the child join as a rank, or say that it is
// the job. The devices are the child's own.
std::vector<std::string> environment_of(const ChildRequest& request) {
  constexpr std::string_view kDevices = "CUDA_VISIBLE_DEVICES=";
  constexpr std::array<std::string_view, 6> kOfLaunchers{"SLURM_", "PMIX_", "PMI_",
                                                         "OMPI_",  "PRTE_", "MPI_LOCAL"};
  std::vector<std::string> kept;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    bool drop = text.starts_with(kDevices);
    for (const std::string_view prefix : kOfLaunchers) {
      drop = drop || (text.starts_with(prefix) && !text.starts_with("OMPI_MCA_") &&
                      !text.starts_with("OMPI_ALLOW_"));
    }
    if (!drop) kept.emplace_back(text);
  }
  kept.push_back(std::string(kDevices) + request.devices);
  return kept;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (const std::string& text : texts) all.push_back(const_cast<char*>(text.c_str()));
  all.push_back(nullptr);
  return all;
}

struct Prepared {  // all that needs memory, made before fork()
  std::vector<char*> argv, environment;
  const char* working_dir;
  cpu_set_t processors;
  bool pinned;
  int log;
  pid_t parent;
  sigset_t mask;  // of signals, for the program
};

[[noreturn]] void say_and_exit(const char* what) {
  const char* why = std::strerror(errno);
  const std::array<const char*, 5> parts{"mixspan: ", what, ": ", why, "\n"};
  for (const char* part : parts) {
    if (::write(STDERR_FILENO, part, std::strlen(part)) < 0) break;
  }
  ::_exit(127);
}

// Handlers of this process would only note a signal in the child's copy of its memory.
void drop_handlers() {
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction now {};
    if (::sigaction(number, nullptr, &now) != 0) continue;
    if (now.sa_handler == SIG_IGN || now.sa_handler == SIG_DFL) continue;
    struct sigaction usual {};
    usual.sa_handler = SIG_DFL;
    ::sigaction(number, &usual, nullptr);
  }
}

// All signals are blocked when it is called.
[[noreturn]] void become(const Prepared& p) {
  drop_handlers();
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != p.parent) ::_exit(128 + SIGTERM);  // it ended before it could be noticed
  ::sigprocmask(SIG_SETMASK, &p.mask, nullptr);
  ::setpgid(0, 0);
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(p.log, STDOUT_FILENO);
  ::dup2(p.log, STDERR_FILENO);
  if (*p.working_dir != '\0' && ::chdir(p.working_dir) != 0) say_and_exit(p.working_dir);
  if (p.pinned && ::sched_setaffinity(0, sizeof p.processors, &p.processors) != 0) {
    say_and_exit("its processors");
  }
  ::execve(p.argv[0], p.argv.data(), p.environment.data());
  say_and_exit(p.argv[0]);
}

int open_log(const std::filesystem::path& log, int flags) {
  return ::open(log.c_str(), flags | O_CLOEXEC, 0666);
}

}  // namespace

ChildProcess::ChildProcess(pid_t pid, std::filesystem::path log, std::uintmax_t log_begin)
    : pid_(pid), alive_(true), log_(std::move(log)), log_begin_(log_begin) {}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(other.pid_),
      alive_(std::exchange(other.alive_, false)),
      log_(std::move(other.log_)),
      log_begin_(other.log_begin_) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(alive_, other.alive_);
  std::swap(log_, other.log_);
  std::swap(log_begin_, other.log_begin_);
  return *this;
}

ChildProcess::~ChildProcess() {
  if (!alive_) return;
  signal(SIGTERM);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
}

std::optional<ChildProcess> ChildProcess::start(const ChildRequest& request) {
  const Descriptor log(open_log(request.log, O_WRONLY | O_CREAT | O_APPEND));
  check(log.get() >= 0, "{}: cannot be opened: {}", request.log.string(), std::strerror(errno));
  if (::flock(log.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return {};
  const std::vector<std::string> environment = environment_of(request);
  Prepared p{pointers(request.arguments),
             pointers(environment),
             request.working_dir.c_str(),
             {},
             !request.processors.empty(),
             log.get(),
             ::getpid(),
             {}};
  CPU_ZERO(&p.processors);
  for (const int processor : request.processors) CPU_SET(processor, &p.processors);
  const std::uintmax_t begin = std::filesystem::file_size(request.log);
  sigset_t all;
  sigfillset(&all);
  check(::pthread_sigmask(SIG_SETMASK, &all, &p.mask) == 0, "signals cannot be held back");
  const pid_t pid = ::fork();
  if (pid == 0) become(p);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &p.mask, nullptr);
  check(pid >= 0, "no process for {}: {}", request.log.stem().string(), std::strerror(error));
  return ChildProcess(pid, request.log, begin);
}

std::optional<int> ChildProcess::ended() {
  int status = 0;
  if (!alive_ || ::waitpid(pid_, &status, WNOHANG) != pid_) return {};
  alive_ = false;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void ChildProcess::signal(int number) const {
  if (alive_) ::kill(pid_, number);
}

std::string ChildProcess::last_words() const {
  const LastWords words = mixspan::last_words(log_, log_begin_);
  return words.error.empty() ? words.line : words.error;
}

LastWords last_words(const std::filesystem::path& log, std::uintmax_t begin) {
  constexpr std::string_view kError = "mixspan: ";
  std::ifstream in(log, std::ios::binary);
  in.seekg(static_cast<std::streamoff>(begin));
  LastWords words;
  for (std::string line; std::getline(in, line);) {
    if (line.empty()) continue;
    words.line = line;
    if (line.starts_with(kError)) words.error = line.substr(kError.size());
  }
  return words;
}

bool is_locked(const std::filesystem::path& log) {
  const Descriptor file(open_log(log, O_RDONLY));
  if (file.get() < 0) return false;
  return ::flock(file.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

}  // namespace mixspan
