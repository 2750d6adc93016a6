// How the program says that something is wrong. Library code throws; only main() exits.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace mixspan {

/// A failure of the program or of the machine under it. main() prints the message and exits 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The person's input cannot be used: a flag, a config key, a file. main() prints the message,
/// which is one line that names the thing, what was wanted, what was got and what would work, and
/// exits 2.
class InputError : public Error {
 public:
  using Error::Error;
};

/// Memory was wanted that is not there. The message, one line, says how much for what, and what
/// there is.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// Throws Error: for broken contracts between functions and for failures of the machine.
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws OutOfMemory.
template <class... Args>
[[noreturn]] void fail_memory(fmt::format_string<Args...> format, Args&&... args) {
  throw OutOfMemory(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws InputError: for what a person can mend by giving other input.
template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  throw InputError(fmt::format(format, std::forward<Args>(args)...));
}

/// A contract between functions. The message is only formatted when it does not hold.
template <class... Args>
void check(bool holds, fmt::format_string<Args...> format, Args&&... args) {
  if (!holds) [[unlikely]] {
    fail(format, std::forward<Args>(args)...);
  }
}

/// A condition on what a person gave.
template <class... Args>
void require(bool holds, fmt::format_string<Args...> format, Args&&... args) {
  if (!holds) [[unlikely]] {
    refuse(format, std::forward<Args>(args)...);
  }
}

}  // namespace mixspan
