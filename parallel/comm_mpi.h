// Ranks that are processes, started by mpirun or srun.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "parallel/communicator.h"

namespace mixspan {

struct MpiOptions {
  double timeout_seconds = 600;              ///< of a wait for another rank; 0: none
  double grace_seconds = 1;                  ///< see ~MpiWorld
  std::int64_t largest_message = 1ll << 30;  ///< bytes; longer ones travel in pieces
};

/// True when the environment says that this process is one of several ranks, or was started by a
/// launcher that speaks PMIx. Does not touch MPI.
bool launched_by_mpi();

/// MPI from its beginning to its end; once in a process.
///
/// Make it before, and outside of, the try block that prints what went wrong:
///     MpiWorld mpi;
///     try {
///       run(mpi.communicator());
///     } catch (const std::exception& e) {
///       print(e.what());
///       mpi.abort(e.what());
///     }
class MpiWorld {
 public:
  /// Starts MPI; throws Error when that fails. All ranks make one.
  explicit MpiWorld(const MpiOptions& options = {});
  /// Ends MPI, once all ranks are here. After abort(), on any rank, or while an exception passes:
  /// waits the grace time, so that every rank can print what it knows, and then ends the processes
  /// of all ranks, this one too, through MPI_Abort.
  ~MpiWorld();
  MpiWorld(const MpiWorld&) = delete;
  MpiWorld& operator=(const MpiWorld&) = delete;

  int rank() const;
  int size() const;
  int local_rank() const;  ///< among the ranks on this machine
  int local_size() const;  ///< ranks on this machine
  /// That this rank may keep busy: those it is bound to, divided among the ranks bound to the same.
  int processors() const;

  /// Of communicators given out from now on.
  void set_timeout(double seconds);
  /// All ranks. Given out once; must go before this does. MPI moves messages only inside calls: a
  /// long one that is posted and waited for much later may wait for one of the two sides to call.
  std::unique_ptr<Communicator> communicator();

  /// Makes every rank that waits, or will, throw CommunicationError with this reason; the others'
  /// reason stands when they came first. The processes will end
  /// with the exit status of the first.
  void abort(std::string_view reason, int exit_status = 1);

 private:
  struct State;
  std::shared_ptr<State> state_;
  friend class MpiMessage;
  friend class MpiLink;
};

}  // namespace mixspan
