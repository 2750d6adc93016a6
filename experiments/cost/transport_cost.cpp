#include "experiments/cost/transport_cost.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace mixspan {

namespace {

// Backward makes five products where forward makes two: scores again, and the gradients of values,
// weights, queries and keys.
constexpr double kBackwardPerForward = 2.5;

/// One layer on one machine; times in seconds.
class Site {
 public:
  Site(const AnySpan& span, const ExchangeSetting& setting)
      : span_(span),
        s_(setting),
        pairs_(span, setting.layout.T()),
        plan_(span, setting.layout),
        link_(setting.machine.link(setting.layout.ranks(), setting.tp)) {}

  bool moves_nothing() const { return plan_.moves_nothing(); }
  bool divides_heads() const { return s_.row.heads % ranks() == 0; }
  TransportCost local() const { return cost_of(Transport::local, most_pairs(), {}, {}); }
  TransportCost halo() const;
  TransportCost ring() const;
  TransportCost all_to_all() const;
  TransportCost gather() const;

 private:
  /// Of one direction: on the link, and of that not hidden.
  struct Transfer {
    double seconds = 0, exposed = 0;
  };

  int ranks() const { return s_.layout.ranks(); }
  double flops(std::int64_t pairs) const {
    return 4.0 * static_cast<double>(s_.row.B * s_.row.heads * s_.row.head_size) *
           static_cast<double>(pairs);
  }
  double seconds(std::int64_t pairs) const { return flops(pairs) / s_.machine.attention_flops; }
  double link(double bytes, double messages = 1) const {
    return link_.seconds(bytes) + (messages - 1) * link_.latency_us * 1e-6;
  }
  std::int64_t pairs_of(int rank, int keys_of) const {
    std::int64_t n = 0;
    for (const Range& queries : s_.layout.chunks(rank)) {
      for (const Range& keys : s_.layout.chunks(keys_of)) n += pairs_.between(queries, keys);
    }
    return n;
  }
  std::int64_t all_pairs_of(int rank) const {
    std::int64_t n = 0;
    for (const Range& queries : s_.layout.chunks(rank)) {
      n += pairs_.between(queries, {0, queries.end});
    }
    return n;
  }
  std::int64_t most_pairs() const {
    std::int64_t most = 0;
    for (int rank = 0; rank < ranks(); ++rank) most = std::max(most, all_pairs_of(rank));
    return most;
  }
  /// Pairs of the rank's queries that read nothing of a halo.
  std::int64_t interior_pairs(int rank) const {
    std::int64_t n = 0;
    for (const Range& chunk : s_.layout.chunks(rank)) {
      if (chunk.begin == 0) {
        n += pairs_.between(chunk, chunk);
        continue;
      }
      const Range before{chunk.begin - 1, chunk.begin};
      const std::int64_t first = visible_queries(span_, before, chunk).end;
      n += pairs_.between({first, chunk.end}, chunk);
    }
    return n;
  }
  Transfer halo_direction(bool backward) const;
  Transfer ring_direction(bool backward) const;
  TransportCost cost_of(Transport transport, std::int64_t pairs, Transfer forward,
                        Transfer backward) const;

  const AnySpan& span_;
  const ExchangeSetting& s_;
  PairCount pairs_;
  HaloPlan plan_;
  MachineFile::Link link_;
};

TransportCost Site::cost_of(Transport transport, std::int64_t pairs, Transfer forward,
                            Transfer backward) const {
  TransportCost cost;
  const double forwards = s_.forward_again ? 2 : 1;
  cost.transport = transport;
  cost.bytes = most_exchange_bytes(transport, plan_, s_.layout, s_.row);
  if (s_.forward_again) cost.bytes.backward += cost.bytes.forward;
  cost.flops = flops(pairs);
  cost.step_flops = cost.flops * (forwards + kBackwardPerForward);
  cost.compute_s = cost.step_flops / s_.machine.attention_flops;
  cost.transfer_s = forwards * forward.seconds + backward.seconds;
  cost.exposed_s = forwards * forward.exposed + backward.exposed;
  return cost;
}

Site::Transfer Site::halo_direction(bool backward) const {
  Transfer most;
  for (int rank = 0; rank < ranks(); ++rank) {
    const ExchangeBytes bytes = halo_bytes(plan_, rank, s_.row);
    // A link carries both ways at once, so the larger way counts.
    const double transfer = link(static_cast<double>(std::max(bytes.forward, bytes.backward)));
    const double hidden = seconds(interior_pairs(rank)) * (backward ? kBackwardPerForward : 1.0);
    most.seconds = std::max(most.seconds, transfer);
    most.exposed = std::max(most.exposed, transfer - hidden);
  }
  return most;
}

TransportCost Site::halo() const {
  return cost_of(Transport::halo, most_pairs(), halo_direction(false), halo_direction(true));
}

// Neighbours wait for each other, so a step takes as long as on the slowest rank. While a step is
// computed, keys and values of the next one arrive, and in backward the sums of the step before.
Site::Transfer Site::ring_direction(bool backward) const {
  const double work = backward ? kBackwardPerForward : 1.0;
  const double block = 2.0 * static_cast<double>(s_.row.bytes() * s_.layout.most_rows());
  Transfer transfer;
  double total = 0;
  for (int step = 0; step < ranks(); ++step) {
    std::int64_t most = 0;
    for (int rank = 0; rank < ranks(); ++rank) {
      most = std::max(most, pairs_of(rank, (rank - step + ranks()) % ranks()));
    }
    const bool fetches = step + 1 < ranks(), returns = backward && step >= 2;
    const double bytes = block * (static_cast<double>(fetches) + static_cast<double>(returns));
    const double moving = bytes > 0 ? link(bytes) : 0;
    transfer.seconds += moving;
    total += std::max(work * seconds(most), moving);
  }
  if (backward) {
    transfer.seconds += link(block);
    total += link(block);
  }
  transfer.exposed = std::max(0.0, total - work * seconds(most_pairs()));
  return transfer;
}

TransportCost Site::ring() const {
  return cost_of(Transport::ring, most_pairs(), ring_direction(false), ring_direction(true));
}

TransportCost Site::all_to_all() const {
  const ExchangeBytes bytes = most_exchange_bytes(Transport::all_to_all, plan_, s_.layout, s_.row);
  const double forward = link(static_cast<double>(bytes.forward), 2);
  const double backward = link(static_cast<double>(bytes.backward), 2);
  std::int64_t all = 0;
  for (int rank = 0; rank < ranks(); ++rank) all += all_pairs_of(rank);
  return cost_of(Transport::all_to_all, all / ranks(), {forward, forward}, {backward, backward});
}

TransportCost Site::gather() const {
  const ExchangeBytes bytes = most_exchange_bytes(Transport::gather, plan_, s_.layout, s_.row);
  const double forward = link(static_cast<double>(bytes.forward));
  const double backward = link(static_cast<double>(bytes.backward), 2);
  return cost_of(Transport::gather, most_pairs(), {forward, forward}, {backward, backward});
}

std::vector<TransportCost> costs_of(const Site& site) {
  if (site.moves_nothing()) return {site.local()};
  std::vector<TransportCost> costs{site.halo(), site.ring(), site.gather()};
  if (site.divides_heads()) costs.push_back(site.all_to_all());
  return costs;
}

std::string describe(const TransportCost& c) {
  return fmt::format("{} {:.3f} ms ({:.1f} MB)", str(c.transport), c.seconds() * 1e3,
                     static_cast<double>(c.bytes.total()) / 1e6);
}

// `others`: `best` and at least one that it was preferred to, for a ring and a gathering carry
// every span.
std::string reason_for(const TransportCost& best, const std::vector<TransportCost>& others) {
  std::vector<std::string> texts;
  for (const TransportCost& other : others) {
    if (other.transport != best.transport) texts.push_back(describe(other));
  }
  const bool hidden = best.exposed_s <= 0;
  return fmt::format(
      "{}: {}; against {}", describe(best),
      hidden ? "hidden under computation" : fmt::format("{:.3f} ms exposed", best.exposed_s * 1e3),
      fmt::join(texts, ", "));
}

}  // namespace

PairCount::PairCount(const AnySpan& span, std::int64_t T) : span_(span), pairs_{0} {
  pairs_.reserve(static_cast<std::size_t>(T) + 1);
  span.visit([&](const auto& s) {
    for (std::int64_t i = 0; i < T; ++i) pairs_.push_back(pairs_.back() + i - s.lo(i) + 1);
  });
}

std::int64_t PairCount::below(std::int64_t n, std::int64_t k) const {
  if (n == 0 || k == 0) return 0;
  // Query i reads min(i + 1, k) - min(lo(i), k) keys below k: the first query whose lo lies past k
  // parts the sum over the second term.
  const auto triangle = [](std::int64_t m) { return m * (m + 1) / 2; };
  const std::int64_t up_to = n <= k ? triangle(n) : triangle(k) + (n - k) * k;
  const std::int64_t near = visible_queries(span_, {k - 1, k}, {0, n}).end;
  const std::int64_t sum_of_lo = triangle(near) - pairs_[static_cast<std::size_t>(near)];
  return up_to - sum_of_lo - (n - near) * k;
}

std::int64_t PairCount::between(Range queries, Range keys) const {
  if (queries.empty() || keys.empty()) return 0;
  return below(queries.end, keys.end) - below(queries.begin, keys.end) -
         below(queries.end, keys.begin) + below(queries.begin, keys.begin);
}

std::vector<TransportCost> transport_costs(const AnySpan& span, const ExchangeSetting& setting) {
  return costs_of(Site(span, setting));
}

TransportChoice choose_transport(const AnySpan& span, const ExchangeSetting& setting,
                                 std::string_view wanted) {
  std::vector<TransportCost> costs = transport_costs(span, setting);
  if (costs.front().transport == Transport::local) {
    return {costs.front(), setting.layout.ranks() == 1
                               ? "the sequence is on one rank"
                               : fmt::format("{} never leaves a chunk", span.str())};
  }
  if (wanted != "auto") {
    const Transport transport = parse_transport(wanted);
    for (const TransportCost& cost : costs) {
      if (cost.transport == transport) return {cost, "as parallel.transport says"};
    }
    refuse("parallel.transport = \"{}\" cannot carry {} over {} ranks of cp; wanted \"auto\"",
           wanted, span.str(), setting.layout.ranks());
  }
  const auto ring = std::find_if(costs.begin(), costs.end(), [](const TransportCost& c) {
    return c.transport == Transport::ring;
  });
  const std::int64_t ring_forward = ring->bytes.forward;
  std::erase_if(costs, [&](const TransportCost& c) {
    return c.transport == Transport::halo && c.bytes.forward >= ring_forward;
  });
  const TransportCost best = *std::min_element(
      costs.begin(), costs.end(), [](const TransportCost& a, const TransportCost& b) {
        return a.seconds() != b.seconds() ? a.seconds() < b.seconds()
                                          : a.bytes.total() < b.bytes.total();
      });
  return {best, reason_for(best, costs)};
}

}  // namespace mixspan
