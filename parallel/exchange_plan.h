// Which key and value rows move for one layer when its sequence is split over the ranks of the cp
// axis: a pure function of (span, layout, document starts), the same on every rank.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "kernels/span.h"
#include "parallel/sequence_layout.h"

namespace mixspan {

/// How the keys and values of a layer reach the queries that read them.
enum class Transport {
  local,       ///< nothing moves: one rank, or a span that needs nothing from elsewhere
  halo,        ///< each rank gets just the rows that its chunks lack; see HaloPlan
  ring,        ///< the rows of every rank pass every other rank, a neighbour at a time
  all_to_all,  ///< each rank gets all rows of some heads (DeepSpeed Ulysses, arXiv:2309.14509)
  gather,      ///< each rank gets all rows of all heads
};
Transport parse_transport(std::string_view text);  ///< what str() writes; throws InputError
std::string str(Transport);                        ///< "local", "halo", "all_to_all", ...

/// Rows that lie together at one rank and come to lie together in one chunk's halo.
struct HaloPiece {
  int rank;         ///< whose they are
  Range rows;       ///< of that rank
  Range positions;  ///< of the sequence
  friend bool operator==(const HaloPiece&, const HaloPiece&) = default;
};

/// The keys before a chunk's first position that its queries read.
struct ChunkHalo {
  Range positions;                ///< [.., chunk.begin); may be empty
  std::vector<HaloPiece> pieces;  ///< by position, without gaps
};

/// What one rank has for another's halos: one message for each ordered pair and layer.
struct HaloMessage {
  struct Part {
    Range rows;       ///< of rank `from`
    int chunk;        ///< of rank `to`: an index of SequenceLayout::chunks
    Range halo_rows;  ///< in the halo of that chunk, whose row 0 is its first position
    friend bool operator==(const Part&, const Part&) = default;
  };
  int from, to;
  std::vector<Part> parts;  ///< in the order in which they lie in the message
  std::int64_t rows() const;
  friend bool operator==(const HaloMessage&, const HaloMessage&) = default;
};

/// The halo of a chunk is [lo, chunk.begin) with lo the first key that its first query reads: no
/// later query looks further back, and there are no gaps. A span longer than a chunk has its halo
/// from several ranks, each of which sends only what is its own. What both chunks of a rank lack is
/// sent once for each: spans that long are cheaper by ring.
///
/// Backward goes the other way: gradients of received rows return in messages of the same shape,
/// and are added to their owners' in the order of sends().
class HaloPlan {
 public:
  /// document_start: (B, T) i32 of the WHOLE sequence (see AttentionRule), or empty. The rows of
  /// the batch share a plan: a halo begins where the row that reaches furthest needs it to.
  HaloPlan(const AnySpan&, const SequenceLayout&, const ConstView& document_start = {});

  int ranks() const { return static_cast<int>(halos_.size()); }
  /// One for each chunk of `rank`.
  std::span<const ChunkHalo> halos(int rank) const {
    return halos_[static_cast<std::size_t>(rank)];
  }
  /// What `from` has for `to`, which may be itself: those parts are copies within the rank.
  HaloMessage message(int from, int to) const;
  /// To other ranks, by rising rank; no empty messages.
  std::vector<HaloMessage> sends(int rank) const;
  /// From other ranks, by rising rank: the very messages that they send.
  std::vector<HaloMessage> receives(int rank) const;

  /// To, or from, other ranks.
  std::int64_t rows_sent(int rank) const { return sent_[static_cast<std::size_t>(rank)]; }
  std::int64_t rows_received(int rank) const { return received_[static_cast<std::size_t>(rank)]; }
  bool moves_nothing() const;  ///< between ranks

 private:
  std::vector<std::vector<ChunkHalo>> halos_;  // by rank, then chunk
  std::vector<std::int64_t> sent_, received_;  // by rank
};

}  // namespace mixspan
