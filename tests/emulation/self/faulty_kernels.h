// Kernels that are wrong in one way each, and some that are right, for the tests of the emulator.
#pragma once

#include "core/exec.h"

namespace mixspan::test {

/// out (threads) i32: each thread's neighbour's number by way of shared memory; without the barrier
/// in between when `forget_barrier`.
void neighbours(const Exec& ex, View out, bool forget_barrier);
/// out (32) f32 = shared memory that nobody wrote but for the first element, static in the first
/// half, dynamic in the second.
void read_unwritten(const Exec& ex, View out);

enum class Fault {
  none,
  one_thread_skips_barrier,  ///< waits at a named barrier that needs it twice
  barrier_in_two_branches,
  lanes_do_different_things,
  lane_outside_its_mask,
  comes_twice,
  flag_never_set,
  failed_check,
};
void run_faulty(const Exec& ex, Fault fault);

/// Writes `at` bytes from the beginning of dynamic shared memory of `bytes` bytes.
void write_shared(const Exec& ex, std::size_t bytes, std::int64_t at);
/// Writes one float to a shared array of 32, at `index`.
void write_static_shared(const Exec& ex, int index);
/// Writes byte `at` of x.
void write_device(const Exec& ex, View x, std::int64_t at);
/// out (64) i32: what consumers (the second warp) got from a producer (the first) over `rounds`
/// rounds of two named barriers.
void hand_over(const Exec& ex, View out, int rounds);
/// out (32) i32: sums over the lanes that are left after the first `ended` have ended.
void sum_of_the_rest(const Exec& ex, View out, int ended);
/// out (blocks) i32: the order in which blocks came, by an atomic counter (1) i32.
void take_tickets(const Exec& ex, View out, View counter);
/// out (blocks) i32: what each block found in `flag` (1), for which block i waits until it is i;
/// then it sets it to i + 1. The last sets nothing and waits for one more where `for_ever`.
void pass_a_flag(const Exec& ex, View out, View flag, bool for_ever);
/// out (64) i32: 1 where the thread got what it should from ballots, shuffles and a count.
void votes_and_shuffles(const Exec& ex, View out);
/// out (4) i32: 1 where a 32-bit address of shared memory leads back to where it came from, has the
/// alignment of its pointer, and is refused outside of it.
void shared_addresses(const Exec& ex, View out);

}  // namespace mixspan::test
