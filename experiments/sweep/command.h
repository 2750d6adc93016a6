// Runs another program to its end and keeps what it says.
#pragma once

#include <string>
#include <vector>

namespace mixspan {

struct CommandResult {
  int exit_code = -1;    ///< 128 + the signal when a signal ended it
  std::string out, err;  ///< whole
};

/// `arguments[0]` is looked for in PATH; nothing goes through a shell, stdin is empty. Throws Error
/// where the program cannot be started.
CommandResult run_command(const std::vector<std::string>& arguments);

/// Whether PATH has a program of this name that may be run.
bool in_path(const std::string& program);

}  // namespace mixspan
