// The group of one: nothing moves.
#include "parallel/communicator.h"

#include <cstring>

namespace mixspan {

namespace {

class SelfCommunicator final : public Communicator {
 public:
  explicit SelfCommunicator(std::string axis) : axis_(std::move(axis)) {}
  int rank() const override { return 0; }
  int size() const override { return 1; }
  const std::string& axis() const override { return axis_; }

  Pending exchange(const Call&, std::span<const Send> sends,
                   std::span<const Receive> receives) override {
    check(sends.size() == receives.size(), "exchange with oneself: {} sent, {} received",
          sends.size(), receives.size());
    for (std::size_t i = 0; i < sends.size(); ++i) copy(receives[i].data, sends[i].data);
    return {};
  }
  Pending all_gather(const Call&, View, std::span<const Range>) override { return {}; }
  Pending reduce_scatter_sum(const Call&, View, std::span<const Range>) override { return {}; }
  Pending all_reduce_sum(const Call&, View) override { return {}; }
  Pending all_to_all(const Call&, std::span<const ConstView> send,
                     std::span<const View> receive) override {
    copy(receive[0], send[0]);
    return {};
  }
  Pending broadcast(const Call&, View, int) override { return {}; }
  double all_reduce_sum(const Call&, double x) override { return x; }
  double all_reduce_max(const Call&, double x) override { return x; }
  void barrier(const Call&) override {}
  std::unique_ptr<Communicator> split(int, const std::string& axis) override {
    return std::make_unique<SelfCommunicator>(axis);
  }
  std::vector<Traffic> traffic() const override { return {}; }
  void reset_traffic() override {}
  void trace(Tracer*) override {}
  void abort(std::string_view) override {}

 private:
  static void copy(View to, ConstView from) {
    check(to.size_bytes() == from.size_bytes(), "exchange with oneself: {} bytes sent, {} received",
          from.size_bytes(), to.size_bytes());
    std::memcpy(to.raw(), from.raw(), from.size_bytes());
  }
  std::string axis_;
};

}  // namespace

std::unique_ptr<Communicator> make_self_communicator() {
  return std::make_unique<SelfCommunicator>("world");
}

}  // namespace mixspan
