// A run as a child of this process that does not outlive it for long.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace mixspan {

struct ChildRequest {
  std::vector<std::string> arguments;  ///< [0] is the program's path
  std::filesystem::path log;           ///< stdout and stderr are appended
  std::filesystem::path working_dir;   ///< empty: this process's
  std::vector<int> processors;         ///< the child may use; empty: those of this process
  /// CUDA_VISIBLE_DEVICES of the child: "" shows it none.
  std::string devices;
};

/// The child ignores what a batch system or mpirun says of this process: it is nobody's rank. It
/// has a process group of its own, so that Ctrl-C reaches this process alone. When this process
/// ends in any way, the child gets SIGTERM.
/// The log is locked (flock) while the child lives: another process can see that it does, from the
/// moment of its start on.
class ChildProcess {
 public:
  /// Empty where another child holds the log. Throws Error where none can be started; a program
  /// that cannot be run shows as exit code 127, with a line in the log. Call it on the thread that
  /// lives longest: the kernel sends SIGTERM when that thread ends.
  static std::optional<ChildProcess> start(const ChildRequest& request);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();  ///< SIGTERM, and waits until it has ended

  pid_t pid() const { return pid_; }
  /// Once it has ended: its exit code, 128 + the signal when a signal ended it. Does not wait.
  std::optional<int> ended();
  void signal(int number) const;

  /// What it wrote into its log that tells most of why it failed: its last line from "mixspan: "
  /// on, else its last line.
  std::string last_words() const;

 private:
  ChildProcess(pid_t pid, std::filesystem::path log, std::uintmax_t log_begin);
  pid_t pid_;
  bool alive_;  // and to be waited for
  std::filesystem::path log_;
  std::uintmax_t log_begin_;
};

struct LastWords {
  std::string line;   ///< the last one that is not empty
  std::string error;  ///< what follows the last "mixspan: " that a line begins with
};
/// Of a log from byte `begin` on. Empty where there are none, or no log.
LastWords last_words(const std::filesystem::path& log, std::uintmax_t begin = 0);

/// Whether a child of this or another process holds `log`.
bool is_locked(const std::filesystem::path& log);

}  // namespace mixspan
