#include "parallel/exchange_bytes.h"

#include <algorithm>

#include "core/error.h"

namespace mixspan {

ExchangeBytes halo_bytes(const HaloPlan& plan, int rank, const RowSize& row) {
  return {2 * row.bytes() * plan.rows_sent(rank), 2 * row.bytes() * plan.rows_received(rank)};
}

ExchangeBytes ring_bytes(const SequenceLayout& layout, int rank, const RowSize& row) {
  const std::int64_t passed_on = layout.T() - layout.rows((rank + 1) % layout.ranks());
  const std::int64_t sums = layout.T() - layout.rows(rank);
  return {2 * row.bytes() * passed_on, 2 * row.bytes() * (passed_on + sums)};
}

ExchangeBytes all_to_all_bytes(const SequenceLayout& layout, int rank, const RowSize& row) {
  const std::int64_t P = layout.ranks();
  check(row.heads % P == 0, "all_to_all: {} heads over {} ranks", row.heads, P);
  const std::int64_t part = row.bytes() / P;  // of a row, the heads of one rank
  const std::int64_t own = (P - 1) * layout.rows(rank), others = layout.T() - layout.rows(rank);
  return {part * (3 * own + others), part * (own + 3 * others)};
}

ExchangeBytes gather_bytes(const SequenceLayout& layout, int rank, const RowSize& row) {
  const std::int64_t given = (layout.ranks() - 1) * layout.rows(rank);
  const std::int64_t sums = layout.T() - layout.rows(rank);
  return {2 * row.bytes() * given, 2 * row.bytes() * (given + sums)};
}

ExchangeBytes exchange_bytes(Transport transport, const HaloPlan& plan,
                             const SequenceLayout& layout, int rank, const RowSize& row) {
  switch (transport) {
    case Transport::local:
      return {};
    case Transport::halo:
      return halo_bytes(plan, rank, row);
    case Transport::ring:
      return ring_bytes(layout, rank, row);
    case Transport::all_to_all:
      return all_to_all_bytes(layout, rank, row);
    case Transport::gather:
      return gather_bytes(layout, rank, row);
  }
  fail("transport {} has no formula", static_cast<int>(transport));
}

ExchangeBytes most_exchange_bytes(Transport transport, const HaloPlan& plan,
                                  const SequenceLayout& layout, const RowSize& row) {
  ExchangeBytes most;
  for (int rank = 0; rank < layout.ranks(); ++rank) {
    const ExchangeBytes bytes = exchange_bytes(transport, plan, layout, rank, row);
    most.forward = std::max(most.forward, bytes.forward);
    most.backward = std::max(most.backward, bytes.backward);
  }
  return most;
}

}  // namespace mixspan
