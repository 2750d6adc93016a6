// Which positions of a sequence each rank of the cp axis holds. Tokens, positions, labels, masks,
// exchange plans and un-permuting all come from here.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/tile_ranges.h"

namespace mixspan {

enum class LayoutKind {
  contiguous,  ///< rank r holds the r-th of P equal chunks
  zigzag,      ///< of 2P equal chunks rank r holds the r-th and the (2P - 1 - r)-th: causal work is
               ///< even
};
LayoutKind parse_layout(std::string_view text);  ///< "contiguous", "zigzag"; throws InputError
std::string str(LayoutKind);

class SequenceLayout {
 public:
  /// T positions over `ranks` ranks; T need not divide. Throws InputError when T < 2 * ranks
  /// (zigzag) or T < ranks.
  SequenceLayout(LayoutKind kind, std::int64_t T, int ranks);

  LayoutKind kind() const { return kind_; }
  std::int64_t T() const { return T_; }
  int ranks() const { return static_cast<int>(chunks_.size()); }
  /// The positions of `rank` in the order of its rows. Chunks that touch are one.
  std::span<const Range> chunks(int rank) const { return chunks_[static_cast<std::size_t>(rank)]; }
  std::int64_t rows(int rank) const;  ///< T held by the rank
  std::int64_t most_rows() const;     ///< of the rank that holds most
  std::int64_t position(int rank, std::int64_t row) const;

 private:
  LayoutKind kind_;
  std::int64_t T_;
  std::vector<std::vector<Range>> chunks_;
};

}  // namespace mixspan
