// What every communicator must do, whatever carries its messages. Run by threads
// (test_communicator.cpp) and under mpirun (mpi/).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "parallel/communicator.h"

namespace mixspan::test {

struct CommunicatorBody {
  std::string name;
  std::function<void(Communicator& world)> run;  ///< by every rank
};
std::vector<CommunicatorBody> communicator_bodies();

}  // namespace mixspan::test
