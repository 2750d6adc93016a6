#include "experiments/cost/reference_machine.h"

#include "core/error.h"

namespace mixspan {

MachineFile reference_machine(std::string_view device) {
  MachineFile m;
  if (device == "cuda") {
    m.name = "h100x8";
    m.ranks_per_node = 8;
    m.gemm_flops = 3.2e14;
    m.attention_flops = 2.0e14;
    m.memory_bandwidth = 2.85e12;
    m.memory_bytes = 80'000'000'000;
    m.inside = {8, 3.6e11};
    m.between = {15, 4.2e10};
    return m;
  }
  check(device == "cpu", "no reference machine for {}", device);
  m.name = "two cores";
  m.ranks_per_node = 64;
  m.shared = true;
  m.gemm_flops = 2.17e11;
  m.attention_flops = 1.9e11;
  m.memory_bandwidth = 5.3e10;
  m.memory_bytes = 24'000'000'000;
  m.inside = {5, 1.0e10};
  m.between = {50, 1.0e9};
  return m;
}

}  // namespace mixspan
