// MpiWorld in a build without MPI (MIXSPAN_MPI=OFF): a program that mpirun or srun starts says so.
#include "core/error.h"
#include "parallel/comm_mpi.h"

namespace mixspan {

namespace {
[[noreturn]] void no_mpi() {
  fail("this build has no MPI (MIXSPAN_MPI=OFF): ranks are threads, mixspan train --ranks N");
}
}  // namespace

struct MpiWorld::State {};

MpiWorld::MpiWorld(const MpiOptions&) { no_mpi(); }
MpiWorld::~MpiWorld() = default;
int MpiWorld::rank() const { no_mpi(); }
int MpiWorld::size() const { no_mpi(); }
int MpiWorld::local_rank() const { no_mpi(); }
int MpiWorld::local_size() const { no_mpi(); }
int MpiWorld::processors() const { no_mpi(); }
void MpiWorld::set_timeout(double) { no_mpi(); }
std::unique_ptr<Communicator> MpiWorld::communicator() { no_mpi(); }
void MpiWorld::abort(std::string_view, int) { no_mpi(); }

}  // namespace mixspan
