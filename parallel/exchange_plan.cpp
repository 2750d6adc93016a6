#include "parallel/exchange_plan.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/error.h"

namespace mixspan {

namespace {

constexpr std::array<std::pair<Transport, const char*>, 5> kTransports{{
    {Transport::local, "local"},
    {Transport::halo, "halo"},
    {Transport::ring, "ring"},
    {Transport::all_to_all, "all_to_all"},
    {Transport::gather, "gather"},
}};

/// The chunks of all ranks as pieces, by position: together the whole sequence.
std::vector<HaloPiece> all_chunks(const SequenceLayout& layout) {
  std::vector<HaloPiece> all;
  for (int rank = 0; rank < layout.ranks(); ++rank) {
    std::int64_t row = 0;
    for (const Range& chunk : layout.chunks(rank)) {
      all.push_back({rank, {row, row + chunk.size()}, chunk});
      row += chunk.size();
    }
  }
  std::sort(all.begin(), all.end(), [](const HaloPiece& a, const HaloPiece& b) {
    return a.positions.begin < b.positions.begin;
  });
  return all;
}

std::int64_t first_key(const AnySpan& span, const ConstView& document_start,
                       std::int64_t position) {
  const std::int64_t lo = span.lo(position);
  if (document_start.empty()) return lo;
  std::int64_t first = position;
  for (std::int64_t b = 0; b < document_start.dim(0); ++b) {
    const std::int64_t start =
        document_start.data<std::int32_t>()[b * document_start.stride(0) + position];
    first = std::min(first, std::max(lo, start));
  }
  return first;
}

std::vector<HaloPiece> pieces_of(Range positions, const std::vector<HaloPiece>& chunks) {
  std::vector<HaloPiece> pieces;
  for (const HaloPiece& chunk : chunks) {
    const Range part = intersection(chunk.positions, positions);
    if (part.empty()) continue;
    const std::int64_t row = chunk.rows.begin + part.begin - chunk.positions.begin;
    pieces.push_back({chunk.rank, {row, row + part.size()}, part});
  }
  return pieces;
}

}  // namespace

Transport parse_transport(std::string_view text) {
  for (const auto& [transport, name] : kTransports) {
    if (text == name) return transport;
  }
  refuse("\"{}\" is no transport; wanted local, halo, ring, all_to_all or gather", text);
}

std::string str(Transport wanted) {
  for (const auto& [transport, name] : kTransports) {
    if (transport == wanted) return name;
  }
  fail("transport {} has no name", static_cast<int>(wanted));
}

std::int64_t HaloMessage::rows() const {
  std::int64_t n = 0;
  for (const Part& part : parts) n += part.rows.size();
  return n;
}

HaloPlan::HaloPlan(const AnySpan& span, const SequenceLayout& layout,
                   const ConstView& document_start) {
  if (!document_start.empty()) {
    check_shape("document_start of a halo plan", document_start,
                {document_start.dim(0), layout.T()});
  }
  const std::vector<HaloPiece> chunks = all_chunks(layout);
  sent_.resize(static_cast<std::size_t>(layout.ranks()));
  received_.resize(sent_.size());
  for (int rank = 0; rank < layout.ranks(); ++rank) {
    std::vector<ChunkHalo>& mine = halos_.emplace_back();
    for (const Range& chunk : layout.chunks(rank)) {
      const Range positions{first_key(span, document_start, chunk.begin), chunk.begin};
      mine.push_back({positions, pieces_of(positions, chunks)});
      for (const HaloPiece& piece : mine.back().pieces) {
        if (piece.rank == rank) continue;
        sent_[static_cast<std::size_t>(piece.rank)] += piece.rows.size();
        received_[static_cast<std::size_t>(rank)] += piece.rows.size();
      }
    }
  }
}

HaloMessage HaloPlan::message(int from, int to) const {
  HaloMessage message{from, to, {}};
  const std::span<const ChunkHalo> wanted = halos(to);
  for (std::size_t chunk = 0; chunk < wanted.size(); ++chunk) {
    for (const HaloPiece& piece : wanted[chunk].pieces) {
      if (piece.rank != from) continue;
      const std::int64_t row = piece.positions.begin - wanted[chunk].positions.begin;
      message.parts.push_back(
          {piece.rows, static_cast<int>(chunk), {row, row + piece.rows.size()}});
    }
  }
  return message;
}

std::vector<HaloMessage> HaloPlan::sends(int rank) const {
  std::vector<HaloMessage> messages;
  for (int to = 0; to < ranks(); ++to) {
    if (to == rank) continue;
    HaloMessage m = message(rank, to);
    if (!m.parts.empty()) messages.push_back(std::move(m));
  }
  return messages;
}

std::vector<HaloMessage> HaloPlan::receives(int rank) const {
  std::vector<HaloMessage> messages;
  for (int from = 0; from < ranks(); ++from) {
    if (from == rank) continue;
    HaloMessage m = message(from, rank);
    if (!m.parts.empty()) messages.push_back(std::move(m));
  }
  return messages;
}

bool HaloPlan::moves_nothing() const {
  return std::all_of(received_.begin(), received_.end(), [](std::int64_t n) { return n == 0; });
}

}  // namespace mixspan
