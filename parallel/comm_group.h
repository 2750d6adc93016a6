// The communicator over any link: collectives composed of direct messages, each posted at once.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "parallel/comm_call.h"
#include "parallel/communicator.h"

namespace mixspan {

/// Bytes sent by each of P ranks: all_gather (P - 1) * its part; reduce_scatter_sum all of x but
/// its part; all_reduce_sum both, over the shares of x; broadcast (P - 1) * x from the root.
///
/// One thread at a time uses the communicators of a rank and what they return.
class GroupCommunicator final : public Communicator {
 public:
  /// on_host: views lie in host memory also where the rank's tensors are on a device.
  explicit GroupCommunicator(std::shared_ptr<Group> group, bool on_host = false)
      : group_(std::move(group)), on_host_(on_host) {}

  int rank() const override { return group_->rank; }
  int size() const override { return group_->size(); }
  const std::string& axis() const override { return group_->axis; }

  Pending exchange(const Call&, std::span<const Send>, std::span<const Receive>) override;
  Pending all_gather(const Call&, View x, std::span<const Range> parts) override;
  Pending reduce_scatter_sum(const Call&, View x, std::span<const Range> parts) override;
  Pending all_reduce_sum(const Call&, View x) override;
  Pending all_to_all(const Call&, std::span<const ConstView> send,
                     std::span<const View> receive) override;
  Pending broadcast(const Call&, View x, int root) override;
  double all_reduce_sum(const Call&, double x) override;
  double all_reduce_max(const Call&, double x) override;  ///< a NaN is larger than any number
  void barrier(const Call&) override;
  std::unique_ptr<Communicator> split(int color, const std::string& axis) override;

  void use_device(const DevicePlace& place) override;
  bool one_process() const override;
  Communicator& host() override;

  std::vector<Traffic> traffic() const override;
  void reset_traffic() override { group_->counts.clear(); }
  void trace(Tracer* tracer) override { group_->tracer = tracer; }
  void abort(std::string_view reason) override;

 private:
  std::unique_ptr<GroupCall> begin(Operation operation, const Call& call);
  std::unique_ptr<GroupCall> begin_on_host(Operation operation, const Call& call);
  DeviceQueue* queue();
  void check_parts(Operation operation, const Call&, View x, std::span<const Range> parts) const;
  std::vector<double> gather(Operation operation, const Call&, double x);

  std::shared_ptr<Group> group_;
  bool on_host_;
  std::unique_ptr<GroupCommunicator> host_;  // of the same group; made when it is asked for
};

/// The communicator of all ranks of the link.
std::unique_ptr<Communicator> make_world_communicator(std::unique_ptr<Link> link,
                                                      double timeout_seconds);

}  // namespace mixspan
