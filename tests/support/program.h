// Runs a program as a user would, for tests of what it prints and how it exits.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/fixture.h"

namespace mixspan::test {

struct ProgramResult {
  int exit_code = -1;  ///< 128 + the signal when a signal ended it
  std::string out, err;
};

/// A child process. Its output goes to files; the destructor kills what still runs.
class Program {
 public:
  explicit Program(const std::vector<std::string>& arguments);  ///< [0] is the program's path
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  bool running();
  void signal(int number);
  ProgramResult wait();

 private:
  ScratchFolder folder_;
  pid_t pid_ = -1;
  int status_ = 0;
};

/// The `mixspan` of this build with these arguments, run to its end.
ProgramResult mixspan(std::vector<std::string> arguments);
std::string mixspan_path();

/// The words before a program that make it so many processes; empty without MPI.
std::vector<std::string> mpirun(int ranks);

}  // namespace mixspan::test
