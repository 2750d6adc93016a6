// The part of a layer that moves information between tokens. Attention with a span is one mixer;
// state-space, learned sparse and quantised mixers are others, placeable in any layer.
#pragma once

#include <cstdint>
#include <memory>

#include "core/exec.h"
#include "layers/params.h"
#include "layers/saved.h"
#include "parallel/communicator.h"
#include "parallel/sequence_layout.h"

namespace mixspan {

/// How sequences are spread over the ranks of the cp axis.
struct SequenceSplit {
  Communicator& cp;
  const SequenceLayout& layout;
  ConstView document_start;  ///< (B, layout.T()) i32 of the whole sequences, or empty; on the host
  ConstView on_device = {};  ///< the same where the model lies on a device
  ConstView where_the_model_lies() const { return on_device.empty() ? document_start : on_device; }
};

/// The geometry of the rows a layer sees: R = B * T rows, row b * T + t.
struct Sequence {
  std::int64_t B = 1, T = 0;  ///< T: positions that this rank holds
  ConstView document_start;   ///< (B, T) i32, or empty: no document boundaries
  /// Null: T is all of the sequence. Else a mixer fetches from the other ranks what it needs.
  const SequenceSplit* split = nullptr;
  std::int64_t rows() const { return B * T; }
};

/// What a mixer remembers between tokens of a text being generated.
class MixerState {
 public:
  virtual ~MixerState() = default;
  virtual std::size_t size_bytes() const = 0;
};

class Mixer {
 public:
  virtual ~Mixer() = default;

  /// y(R, C) = residual + mix(x). Overwrites y, which may be the residual itself. Where Saved
  /// already has what was mixed, of an earlier forward of the same x, only the projections are
  /// computed.
  virtual void forward(const Exec&, const Params&, View y, ConstView x, ConstView residual,
                       const Sequence&, Saved&) const = 0;
  /// dx(R, C) from dy: overwrites dx (the residual's gradient is the caller's). Parameter gradients
  /// are added.
  virtual void backward(const Exec&, const Params&, View dx, ConstView dy, ConstView x,
                        const Sequence&, const Saved&) const = 0;

  /// Floating-point operations of the token mixing itself (not its projections) for one sequence of
  /// T tokens, forward. Backward counts twice that.
  virtual double mixing_flops(std::int64_t T) const = 0;

  /// State for B texts of at most `capacity` tokens each.
  virtual std::unique_ptr<MixerState> make_state(const Exec&, std::int64_t B,
                                                 std::int64_t capacity) const = 0;
  /// Like forward for T further tokens of each text, the first at position `begin`. T > 1 is
  /// allowed only at begin = 0 (the prompt).
  virtual void extend(const Exec&, const Params&, View y, ConstView x, ConstView residual,
                      const Sequence&, std::int64_t begin, MixerState&) const = 0;
};

}  // namespace mixspan
