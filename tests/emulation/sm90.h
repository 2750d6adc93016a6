// What Hopper's copy engine and tensor cores do beside the threads of a block, and when: as late as
// the rules allow, so that what is not waited for is not there, or products at once. Used by the
// overlay's ptx_sm90.cuh and ptx_sm90_wgmma.cuh.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <source_location>

#include "tests/emulation/emulation.h"

namespace mixspan::emulation {

/// When products read their operands and copies out their source, of all the moments allowed: when
/// they are waited for (registers and shared memory must not have been changed since), or when they
/// are started (everything must be there by then). Late copies out write when that is waited for,
/// or at the end of their block. Copies in always come as late as can be: when
/// somebody waits for their barrier; until then NaN patterns stand in their place.
enum class Beside { late, early };
Beside& beside();

/// Blocks that ended with copies, products or arrivals nobody waited for, since the last call; of
/// the calling OS thread, and those that another has told it of.
int unfinished_blocks();
void note_unfinished_blocks(int n);

// ---- barriers in shared memory (PTX ISA 9.0, 9.7.13.15 mbarrier) --------------------------------

void barrier_init(std::uint64_t* barrier, int arrivals);
/// Announces `bytes` (0: none), then arrives.
void barrier_arrive(std::uint64_t* barrier, int bytes, std::source_location where);
void barrier_wait(std::uint64_t* barrier, unsigned parity, std::source_location where);

// ---- copies -------------------------------------------------------------------------------------

using Coordinates = std::array<int, 4>;  ///< column, row, head, sequence

/// `map`: what cuTensorMapEncodeTiled (overlay/cuda.h) wrote.
void copy_box_in(void* to, const void* map, std::uint64_t* barrier, Coordinates at);
void copy_box_out(const void* map, const void* from, Coordinates at);
void copy_bytes_in(void* to, const void* from, std::size_t bytes, std::uint64_t* barrier);
/// `add`: floats are added to those that are there.
void copy_bytes_out(void* to, const void* from, std::size_t bytes, bool add);
void commit_copies_out();
/// Until the calling thread's copies have read their source; or have also written.
void wait_copies_out_read();
void wait_copies_out();
/// At the end of a block: what its copies have read is written.
void write_copies_out();
/// The calling thread wrote 16 bytes that the copy engine and the tensor cores do not see before it
/// calls show_writes().
void note_write(std::uint32_t address);
void show_writes();
/// Fails where a thread wrote in these bytes and has not shown it.
void check_shown(std::uint32_t address, std::size_t bytes, const char* reader);

// ---- products (PTX ISA 9.0, 9.7.15.5 wgmma) -----------------------------------------------------

/// d (64 x n) (+)= a b, as one thread of the warpgroup starts it.
struct Product {
  float* d;  ///< n / 2
  int n;
  const std::uint32_t* a_registers;  ///< 4, or null: a in shared memory
  std::uint64_t a, b;                ///< descriptors
  bool b_across;                     ///< b's rows lie along k (Major::mn)
  bool add;
};
void start_products(std::source_location where);
void start_product(Product mine, std::source_location where);
void commit_products(std::source_location where);
void wait_products(int pending, std::source_location where);

/// The byte address of an element, as the 128-byte swizzle has it.
std::uint32_t swizzled_128(std::uint32_t address);

}  // namespace mixspan::emulation
