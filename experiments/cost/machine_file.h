// What a machine can do, as far as a plan needs to know: read from a TOML file, or measured.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/config.h"
#include "core/exec.h"

namespace mixspan {

struct MachineFile {
  struct Link {
    double latency_us = 0;
    double bytes_per_s = 0;  ///< that a rank sends while it receives as many
    double seconds(double bytes) const { return latency_us * 1e-6 + bytes / bytes_per_s; }
  };

  std::string name;
  std::int64_t ranks_per_node = 1;
  /// What follows is of a whole node, and its ranks divide it among them (threads of a processor);
  /// otherwise it is of one rank (a GPU).
  bool shared = false;
  double gemm_flops = 0;        ///< FLOP/s of large matrix products
  double attention_flops = 0;   ///< FLOP/s of attention over the pairs that its span lets through
  double memory_bandwidth = 0;  ///< bytes/s, reading and writing together
  std::int64_t memory_bytes = 0;
  Link inside, between;  ///< ranks of a node; nodes

  /// The same machine as each of `ranks` ranks sees it: nothing is shared.
  MachineFile as_seen_by(std::int64_t ranks) const;
  /// Between neighbours in a group whose ranks follow each other at `stride`.
  const Link& link(std::int64_t group, std::int64_t stride) const {
    return group * stride <= ranks_per_node ? inside : between;
  }
};

ConfigSchema schema_of(MachineFile& machine);
/// Throws InputError: one line with file, line and key.
MachineFile load_machine_file(const std::filesystem::path& path);
/// Bytes that this computer has.
std::int64_t physical_memory();
/// Takes about a second. The link is that between two ranks that are threads; nothing is known of
/// one to other machines, which `between` repeats.
MachineFile measure_machine(const Exec& exec);

}  // namespace mixspan
