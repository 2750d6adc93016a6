// A group of ranks as a value you hold: no default group, no global state.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/tile_ranges.h"

namespace mixspan {

class Tracer;

/// What a call is for: it names the call in counts, traces and reports of a hang.
struct Call {
  std::string_view what;    ///< "halo keys and values"; a literal, it must stay valid
  std::int64_t layer = -1;  ///< -1: belongs to no layer
};

/// A call under way. The views given to the call must live, and what it reads must not change,
/// until wait() returns.
class [[nodiscard]] Pending {
 public:
  class Work {
   public:
    virtual ~Work() = default;
    virtual void wait() = 0;
  };
  Pending() = default;  ///< nothing to wait for
  explicit Pending(std::unique_ptr<Work> work) : work_(std::move(work)) {}
  /// Returns when the results are there. Calls of one communicator may be waited for in any order.
  /// Throws what went wrong: see Communicator. A second wait() does nothing.
  void wait() {
    if (const std::unique_ptr<Work> work = std::move(work_)) work->wait();
  }

 private:
  std::unique_ptr<Work> work_;  // one that goes without wait() leaves its results undefined
};

struct NcclFunctions;

/// How messages get from one device to another. automatic: from memory to memory where the ranks
/// are threads of one process, else through pinned host memory.
enum class DeviceTransport { automatic, through_host, nccl };

/// Where a rank's tensors lie when that is a device, and the stream that computes with them.
struct DevicePlace {
  Device device;
  Stream compute;
  DeviceTransport transport = DeviceTransport::automatic;
  const NcclFunctions* nccl = nullptr;  ///< for DeviceTransport::nccl; must outlive the world
};

/// What a communicator has sent, by operation, purpose and layer.
struct Traffic {
  std::string operation, axis, what;
  std::int64_t layer = -1;
  std::int64_t calls = 0;
  std::int64_t bytes_sent = 0;  ///< to other ranks, payload only
  double wait_seconds = 0;      ///< spent inside wait()
};

/// Collectives over one axis of the mesh. All ranks of the group make the same collective calls in
/// the same order. Views are contiguous, and in host memory but after use_device(). Sums are taken
/// in the order of the ranks, so they have the same bits on every rank, on every repeat and with
/// every implementation. At size 1 every operation is the identity.
///
/// A call throws CommunicationError when another rank failed, makes another call than this one, or
/// stays away longer than the timeout; the whole world is unusable from then on.
class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual const std::string& axis() const = 0;  ///< "world", "tp", "cp", ...

  struct Send {
    int to;
    ConstView data;
  };
  struct Receive {
    int from;
    View data;
  };
  /// Messages between pairs of ranks, all in flight at once. Those from one rank to another arrive
  /// in the order in which both name them. Messages to oneself are allowed. A rank without any
  /// calls it all the same.
  virtual Pending exchange(const Call&, std::span<const Send>, std::span<const Receive>) = 0;
  /// Dim 0 of x is cut into `parts`, one for each rank. On return all of x is filled: rank r gave
  /// x[parts[r]].
  virtual Pending all_gather(const Call&, View x, std::span<const Range> parts) = 0;
  /// On return x[parts[rank]] is the sum over all ranks of what was there; the rest of x is as it
  /// was.
  virtual Pending reduce_scatter_sum(const Call&, View x, std::span<const Range> parts) = 0;
  /// Overwrites x with the sum over all ranks.
  virtual Pending all_reduce_sum(const Call&, View x) = 0;
  /// send[r] goes to rank r; receive[r] comes from rank r.
  virtual Pending all_to_all(const Call&, std::span<const ConstView> send,
                             std::span<const View> receive) = 0;
  /// Overwrites x with that of rank `root`.
  virtual Pending broadcast(const Call&, View x, int root) = 0;

  virtual double all_reduce_sum(const Call&, double x) = 0;
  /// The largest value over all ranks; carries flags such as "a signal arrived".
  virtual double all_reduce_max(const Call&, double x) = 0;
  virtual void barrier(const Call&) = 0;

  /// The ranks that give the same color, in the order of their ranks here. A collective call.
  virtual std::unique_ptr<Communicator> split(int color, const std::string& axis) = 0;

  /// From now on the views of this rank's calls, on every axis, lie on a device, and all of its
  /// calls are in the order of the stream that computes there: results are there for what that
  /// stream gets after wait(), which waits on the host only until the other ranks have posted. A
  /// rank says so once, before its first call on tensors; all ranks do. On a CPU it does nothing.
  virtual void use_device(const DevicePlace& place) = 0;
  /// Whether all ranks of the world are threads of this process.
  virtual bool one_process() const = 0;
  /// The same group for views in host memory.
  virtual Communicator& host() = 0;

  virtual std::vector<Traffic> traffic() const = 0;
  virtual void reset_traffic() = 0;
  /// Transfers are traced from their posting to their arrival. Null: no trace.
  virtual void trace(Tracer* tracer) = 0;
  /// Makes every rank of the world that waits, or will, throw CommunicationError with this reason.
  virtual void abort(std::string_view reason) = 0;

 protected:
  Communicator() = default;
};

/// Another rank failed, is missing or does something else. The message says which, whom this rank
/// itself had waited for long, and lists the last operations of this rank.
class CommunicationError : public Error {
 public:
  using Error::Error;
};

/// The group of one: nothing is sent, nothing is counted.
std::unique_ptr<Communicator> make_self_communicator();

}  // namespace mixspan
