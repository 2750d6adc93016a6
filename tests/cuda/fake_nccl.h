// NCCL's functions for ranks that are threads and may share a device, which
// NCCL itself refuses. The order of messages is held to as by NCCL; the host
// waits for the other ranks, which NCCL's does not.
#pragma once

#include "parallel/nccl.h"

namespace mixspan::test {

/// Fails (status 1) where a rank stays away for some seconds. That sizes differ it does not tell,
/// as NCCL does not.
NcclFunctions fake_nccl();

}  // namespace mixspan::test
