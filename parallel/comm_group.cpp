#include "parallel/comm_group.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "kernels/ordered_sum.h"
#include "parallel/shares.h"

namespace mixspan {

namespace {

constexpr Call kSplit{.what = "split"};

View part_of(View x, Range part) { return x.slice(0, part.begin, part.end); }

Pending finish_posting(std::unique_ptr<GroupCall> call) {
  call->posted();
  return Pending(std::move(call));
}

/// Own part to every other rank.
void post_gather(GroupCall& call, const Group& group, View x, std::span<const Range> parts) {
  for (int r = 0; r < group.size(); ++r) {
    if (r == group.rank) continue;
    call.receive(r, part_of(x, parts[static_cast<std::size_t>(r)]));
    call.send(r, part_of(x, parts[static_cast<std::size_t>(group.rank)]));
  }
}

/// Part r to rank r. Returns what adds up the own part, once the others' are there.
std::function<void()> post_reduce(GroupCall& call, const Group& group, View x,
                                  std::span<const Range> parts) {
  const View own = part_of(x, parts[static_cast<std::size_t>(group.rank)]);
  std::byte* arriving = call.scratch(own.size_bytes() * static_cast<std::size_t>(group.size() - 1));
  const PiecesOfRanks pieces{own.raw(), arriving, group.rank, group.size()};
  for (int r = 0; r < group.size(); ++r) {
    if (r == group.rank) continue;
    call.receive(r, View(arriving, own.dtype(), own.shape()));
    call.send(r, part_of(x, parts[static_cast<std::size_t>(r)]));
    arriving += own.size_bytes();
  }
  return [&call, own, pieces] { call.sum(own.dtype(), pieces, own.size()); };
}

// On a device in the order of what computes there, as if it had been waited for.
void copy_to_self(const Call& call, const DeviceQueue* queue, View to, ConstView from) {
  check(to.size_bytes() == from.size_bytes(), "{}: {} bytes sent to oneself, {} received",
        call.what, from.size_bytes(), to.size_bytes());
  if (queue != nullptr) return queue->copy_in_compute(to.raw(), from.raw(), to.size_bytes());
  if (to.size_bytes() > 0) std::memcpy(to.raw(), from.raw(), to.size_bytes());
}

}  // namespace

std::unique_ptr<GroupCall> GroupCommunicator::begin(Operation operation, const Call& call) {
  return std::make_unique<GroupCall>(group_, operation, call, queue());
}

// Null for calls on host memory. The first call on a device's is where NCCL's ranks meet.
DeviceQueue* GroupCommunicator::queue() {
  DeviceMessages* const device = group_->endpoint->device();
  if (on_host_ || device == nullptr) return nullptr;
  if (group_->queue != nullptr) return group_->queue.get();
  auto queue = std::make_unique<DeviceQueue>(device->place());
  if (device->place().transport == DeviceTransport::nccl && size() > 1) {
    const NcclFunctions& nccl = *device->place().nccl;
    NcclId id{};
    if (rank() == 0) nccl.check(nccl.GetUniqueId(&id));
    host()
        .broadcast({"NCCL id"}, View(&id, DType::u8, {static_cast<std::int64_t>(sizeof id)}), 0)
        .wait();
    const auto ranks = std::make_shared<NcclGroup>(nccl, id, rank(), size());
    queue->use_nccl(ranks);
    device->add(ranks);
  }
  group_->queue = std::move(queue);
  return group_->queue.get();
}

Communicator& GroupCommunicator::host() {
  if (on_host_) return *this;
  if (host_ == nullptr) host_ = std::make_unique<GroupCommunicator>(group_, /*on_host=*/true);
  return *host_;
}

bool GroupCommunicator::one_process() const {
  return group_->endpoint->link().handovers() != nullptr;
}

void GroupCommunicator::use_device(const DevicePlace& place) {
  group_->endpoint->use_device(place);
}

void GroupCommunicator::check_parts(Operation operation, const Call& call, View x,
                                    std::span<const Range> parts) const {
  check_contiguous(call.what, x);
  check(std::ssize(parts) == size(), "{} \"{}\": {} parts for {} ranks", name_of(operation),
        call.what, parts.size(), size());
  std::int64_t end = 0;
  for (const Range& part : parts) {
    check(part.begin == end && part.end >= end, "{} \"{}\": part {}..{} does not follow on {}",
          name_of(operation), call.what, part.begin, part.end, end);
    end = part.end;
  }
  check(end == x.dim(0), "{} \"{}\": the parts end at {}, x at {}", name_of(operation), call.what,
        end, x.dim(0));
}

Pending GroupCommunicator::exchange(const Call& call, std::span<const Send> sends,
                                    std::span<const Receive> receives) {
  for (const Send& s : sends) {
    check(s.to >= 0 && s.to < size(), "exchange \"{}\": no rank {}", call.what, s.to);
    check_contiguous(call.what, s.data);
  }
  std::vector<View> from_self;
  for (const Receive& r : receives) {
    check(r.from >= 0 && r.from < size(), "exchange \"{}\": no rank {}", call.what, r.from);
    check_contiguous(call.what, r.data);
    if (r.from == rank()) from_self.push_back(r.data);
  }
  std::size_t copied = 0;
  for (const Send& s : sends) {
    if (s.to != rank()) continue;
    check(copied < from_self.size(), "exchange \"{}\": more sent to oneself than received",
          call.what);
    copy_to_self(call, queue(), from_self[copied++], s.data);
  }
  check(copied == from_self.size(), "exchange \"{}\": less sent to oneself than received",
        call.what);
  if (size() == 1) return {};

  auto under_way = begin(Operation::exchange, call);
  for (const Receive& r : receives) {
    if (r.from != rank()) under_way->receive(r.from, r.data);
  }
  for (const Send& s : sends) {
    if (s.to != rank()) under_way->send(s.to, s.data);
  }
  return finish_posting(std::move(under_way));
}

Pending GroupCommunicator::all_gather(const Call& call, View x, std::span<const Range> parts) {
  check_parts(Operation::all_gather, call, x, parts);
  if (size() == 1) return {};
  auto under_way = begin(Operation::all_gather, call);
  post_gather(*under_way, *group_, x, parts);
  return finish_posting(std::move(under_way));
}

Pending GroupCommunicator::reduce_scatter_sum(const Call& call, View x,
                                              std::span<const Range> parts) {
  check_parts(Operation::reduce_scatter_sum, call, x, parts);
  check_summable(x.dtype());
  if (size() == 1) return {};
  auto under_way = begin(Operation::reduce_scatter_sum, call);
  under_way->then(post_reduce(*under_way, *group_, x, parts));
  return finish_posting(std::move(under_way));
}

Pending GroupCommunicator::all_reduce_sum(const Call& call, View x) {
  check_contiguous(call.what, x);
  check_summable(x.dtype());
  if (size() == 1) return {};
  auto under_way = begin(Operation::all_reduce_sum, call);
  const View flat = x.reshape({x.size()});
  const std::vector<Range> parts = shares(x.size(), size());
  auto add_up = post_reduce(*under_way, *group_, flat, parts);
  under_way->then_send([&c = *under_way, group = group_.get(), add_up, flat, parts] {
    add_up();
    post_gather(c, *group, flat, parts);
  });
  return finish_posting(std::move(under_way));
}

Pending GroupCommunicator::all_to_all(const Call& call, std::span<const ConstView> send,
                                      std::span<const View> receive) {
  check(std::ssize(send) == size() && std::ssize(receive) == size(),
        "all_to_all \"{}\": {} sent, {} received, {} ranks", call.what, send.size(), receive.size(),
        size());
  for (const ConstView& x : send) check_contiguous(call.what, x);
  for (const View& x : receive) check_contiguous(call.what, x);
  const std::size_t self = static_cast<std::size_t>(rank());
  copy_to_self(call, queue(), receive[self], send[self]);
  if (size() == 1) return {};
  auto under_way = begin(Operation::all_to_all, call);
  for (std::size_t r = 0; r < send.size(); ++r) {
    if (r == self) continue;
    under_way->receive(static_cast<int>(r), receive[r]);
    under_way->send(static_cast<int>(r), send[r]);
  }
  return finish_posting(std::move(under_way));
}

Pending GroupCommunicator::broadcast(const Call& call, View x, int root) {
  check_contiguous(call.what, x);
  check(root >= 0 && root < size(), "broadcast \"{}\": no rank {}", call.what, root);
  if (size() == 1) return {};
  auto under_way = begin(Operation::broadcast, call);
  if (rank() != root) {
    under_way->receive(root, x);
  } else {
    for (int r = 0; r < size(); ++r) {
      if (r != root) under_way->send(r, x);
    }
  }
  return finish_posting(std::move(under_way));
}

// The calls from here on are of numbers in host memory, whatever the tensors of others lie in.
std::unique_ptr<GroupCall> GroupCommunicator::begin_on_host(Operation operation, const Call& call) {
  return std::make_unique<GroupCall>(group_, operation, call, nullptr);
}

std::vector<double> GroupCommunicator::gather(Operation operation, const Call& call, double x) {
  std::vector<double> all(group_->members.size());
  all[static_cast<std::size_t>(rank())] = x;
  if (size() == 1) return all;
  auto under_way = begin_on_host(operation, call);
  post_gather(*under_way, *group_, View(all.data(), DType::f64, {size()}), shares(size(), size()));
  finish_posting(std::move(under_way)).wait();
  return all;
}

double GroupCommunicator::all_reduce_sum(const Call& call, double x) {
  const std::vector<double> all = gather(Operation::scalar_sum, call, x);
  return std::accumulate(all.begin() + 1, all.end(), all.front());
}

double GroupCommunicator::all_reduce_max(const Call& call, double x) {
  const std::vector<double> all = gather(Operation::scalar_max, call, x);
  for (const double value : all) {
    if (std::isnan(value)) return value;
  }
  return *std::max_element(all.begin(), all.end());
}

void GroupCommunicator::barrier(const Call& call) {
  if (size() == 1) return;
  auto under_way = begin_on_host(Operation::barrier, call);
  const std::vector<Range> nothing(group_->members.size());
  std::byte none{};
  post_gather(*under_way, *group_, View(&none, DType::u8, {0}), nothing);
  finish_posting(std::move(under_way)).wait();
}

std::unique_ptr<Communicator> GroupCommunicator::split(int color, const std::string& axis) {
  Endpoint& endpoint = *group_->endpoint;
  // The new channel is the first that is free on all ranks here, so also on those of the new group.
  std::vector<std::int64_t> all(2 * group_->members.size());
  all[2 * static_cast<std::size_t>(rank())] = color;
  all[2 * static_cast<std::size_t>(rank()) + 1] = endpoint.free_channel();
  if (size() > 1) {
    auto under_way = begin_on_host(Operation::split, kSplit);
    post_gather(*under_way, *group_, View(all.data(), DType::i64, {size(), 2}),
                shares(size(), size()));
    finish_posting(std::move(under_way)).wait();
  }
  auto group = std::make_shared<Group>();
  group->endpoint = group_->endpoint;
  group->axis = axis;
  for (std::size_t r = 0; r < group_->members.size(); ++r) {
    group->channel = std::max(group->channel, static_cast<std::uint32_t>(all[2 * r + 1]));
    if (all[2 * r] != color) continue;
    if (static_cast<int>(r) == rank()) group->rank = group->size();
    group->members.push_back(group_->members[r]);
  }
  group->heard.resize(group->members.size());
  endpoint.use_channels_below(group->channel + 1);
  return std::make_unique<GroupCommunicator>(std::move(group));
}

std::vector<Traffic> GroupCommunicator::traffic() const {
  std::vector<Traffic> all;
  for (const auto& [key, count] : group_->counts) {
    const auto& [operation, what, layer] = key;
    all.push_back({std::string(name_of(operation)), group_->axis, std::string(what), layer,
                   count.calls, count.bytes_sent, count.wait_seconds});
  }
  return all;
}

void GroupCommunicator::abort(std::string_view reason) {
  Endpoint& endpoint = *group_->endpoint;
  endpoint.link().abort(fmt::format("rank {} failed: {}", endpoint.link().rank(), reason));
  if (endpoint.device() != nullptr) endpoint.device()->end_nccl();
}

std::unique_ptr<Communicator> make_world_communicator(std::unique_ptr<Link> link,
                                                      double timeout_seconds) {
  auto group = std::make_shared<Group>();
  group->axis = "world";
  group->rank = link->rank();
  group->members.resize(static_cast<std::size_t>(link->size()));
  std::iota(group->members.begin(), group->members.end(), 0);
  group->heard.resize(group->members.size());
  group->endpoint = std::make_shared<Endpoint>(std::move(link), timeout_seconds);
  group->endpoint->use_channels_below(1);  // 0 is the world's
  return std::make_unique<GroupCommunicator>(std::move(group));
}

}  // namespace mixspan
