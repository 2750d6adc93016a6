#include "tests/support/program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"

namespace mixspan::test {

Program::Program(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC;
  const std::string out = folder_ / "out", err = folder_ / "err";
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, out.c_str(), kFlags, 0600);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, err.c_str(), kFlags, 0600);
  const int failed = posix_spawn(&pid_, argv[0], &files, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  check(failed == 0, "{} cannot be started", arguments[0]);
}

Program::~Program() {
  if (!running()) return;
  signal(SIGKILL);
  wait();
}

bool Program::running() {
  if (pid_ > 0 && waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
  return pid_ > 0;
}

void Program::signal(int number) {
  if (pid_ > 0) kill(pid_, number);
}

ProgramResult Program::wait() {
  if (pid_ > 0) waitpid(pid_, &status_, 0);
  pid_ = -1;
  const int code = WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
  return {code, read_file(folder_ / "out"), read_file(folder_ / "err")};
}

std::string mixspan_path() { return MIXSPAN_BINARY_DIR "/experiments/mixspan"; }

ProgramResult mixspan(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), mixspan_path());
  return Program(arguments).wait();
}

std::vector<std::string> mpirun(int ranks) {
  if (!std::filesystem::exists(MIXSPAN_MPIRUN)) return {};
  // MPI itself leaks a little, which is not what an AddressSanitizer build looks for here.
  return {"/usr/bin/env",
          "ASAN_OPTIONS=detect_leaks=0",
          MIXSPAN_MPIRUN,
          "--oversubscribe",
          "--allow-run-as-root",
          "--bind-to",
          "none",
          "-np",
          std::to_string(ranks)};
}

}  // namespace mixspan::test
