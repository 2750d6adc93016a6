// Blocks that are in flight together, for kernels in which one waits for another.
#pragma once

#include <cstdint>
#include <functional>

namespace mixspan::emulation {

/// Within a block: lets other blocks in flight run and comes back. `happened`: since the last call
/// something happened in this block that others may have waited for. False when nothing can
/// happen in any block any more; without others always.
bool let_other_blocks_run(bool happened);

/// Calls work(i) for i in 0 .. n - 1, each on an OS thread of its own, of which one runs at a time,
/// until it ends or lets others run. Rethrows what the first threw; the others then end with an
/// Error.
void run_by_turns(int n, std::uint64_t seed, const std::function<void(int)>& work);

}  // namespace mixspan::emulation
