#include "experiments/run/host_ranks.h"

#include <algorithm>
#include <string>

#include "core/hash.h"
#include "experiments/run/lease.h"
#include "parallel/shares.h"

namespace mixspan {

HostRanks host_ranks(Communicator& world, std::string_view part) {
  const std::string name = fmt::format("{} {}", host_name(), part);
  Xxh3 hash;
  hash.update(name.data(), name.size());
  Tensor hosts({world.size()}, DType::i64);
  std::int64_t* const all = hosts.data<std::int64_t>();
  const auto mine = static_cast<std::int64_t>(hash.digest());
  all[world.rank()] = mine;
  world.host().all_gather({"hosts"}, hosts, shares(world.size(), world.size())).wait();
  const auto count = [&](int end) { return static_cast<int>(std::count(all, all + end, mine)); };
  return {count(world.rank()), count(world.size())};
}

}  // namespace mixspan
