// What every communicator must do, whatever carries its messages. Run by threads
// (test_communicator.cpp) and under mpirun (mpi/).
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "parallel/communicator.h"

namespace mixspan::test {

struct CommunicatorBody {
  std::string name;
  std::function<void(Communicator& world)> run;  ///< by every rank
  friend void PrintTo(const CommunicatorBody& body, std::ostream* out) { *out << body.name; }
};
std::vector<CommunicatorBody> communicator_bodies();

}  // namespace mixspan::test
