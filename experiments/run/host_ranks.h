// Which ranks share a host, or something on it.
#pragma once

#include <string_view>

#include "parallel/communicator.h"

namespace mixspan {

struct HostRanks {
  int mine;   ///< this rank's place among those on its host
  int count;  ///< ranks on its host
};
/// A collective call. `part`: of the ranks on a host those with the same part of it alone.
HostRanks host_ranks(Communicator& world, std::string_view part = "");

}  // namespace mixspan
