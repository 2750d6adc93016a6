#include <cstdlib>

#include "parallel/comm_mpi.h"

namespace mixspan {

namespace {

int number_in_environment(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? 0 : std::atoi(text);
}

}  // namespace

bool launched_by_mpi() {
  // In the script of a Slurm job SLURM_NTASKS is set too, but there only one process runs: srun
  // sets SLURM_STEP_NUM_TASKS.
  const bool step_of_slurm =
      number_in_environment("SLURM_STEP_NUM_TASKS") > 1 && std::getenv("SLURM_PROCID") != nullptr;
  return number_in_environment("OMPI_COMM_WORLD_SIZE") > 1 || std::getenv("PMIX_RANK") != nullptr ||
         step_of_slurm;
}

}  // namespace mixspan
