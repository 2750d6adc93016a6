// Which ranks share a host.
#pragma once

#include "parallel/communicator.h"

namespace mixspan {

struct HostRanks {
  int mine;   ///< this rank's place among those on its host
  int count;  ///< ranks on its host
};
/// A collective call.
HostRanks host_ranks(Communicator& world);

}  // namespace mixspan
