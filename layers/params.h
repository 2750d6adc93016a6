// Parameters: layers declare them, one owner allocates them in one flat buffer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/exec.h"
#include "core/named_view.h"
#include "core/tensor.h"
#include "kernels/tile_ranges.h"
#include "layers/param_split.h"

namespace mixspan {

enum class Init { zeros, ones, normal };

struct ParamSpec {
  std::string name;  ///< "h.3.attn.qkv.weight"
  Shape shape;       ///< of the whole, on however many ranks
  Init init = Init::zeros;
  double std = 0;      ///< of Init::normal
  bool decay = false;  ///< whether weight decay applies: matrices yes, biases and gains no
  ParamSplit split = {};
  /// Every tp rank holds all of it, but its gradient covers only the rank's own rows where the tp
  /// axis splits the rows between matrix products (sequence parallelism): it wants summing.
  bool gradient_by_rows = false;
};

/// Index of a parameter in its ParamList.
enum class ParamId : std::int32_t { none = -1 };

/// What the layers of a model declared, in declaration order.
class ParamList {
 public:
  /// Throws Error when the name is taken.
  ParamId add(ParamSpec spec);
  const std::vector<ParamSpec>& specs() const { return specs_; }
  std::int64_t count() const;  ///< numbers in all parameters, whole

 private:
  std::vector<ParamSpec> specs_;
};

/// Where parameters lie, and what kernels read of them.
struct ParamStorage {
  Device device;
  DType dtype = DType::f32;  ///< bf16: kernels read copies, rounded from the fp32 weights
  static ParamStorage of(const Exec& ex) { return {ex.device, storage_dtype(ex)}; }
};

/// Weights and, for training, gradients of a tp rank's part of every parameter. Each is one flat
/// f32 buffer in which every parameter starts on a cache line; the padding between them is zero and
/// stays zero, so an optimiser or a norm may run over the whole buffer. Where kernels read bf16
/// there is a third buffer of the same layout; who changes weights brings it up to date.
class Params {
 public:
  enum class Gradients { no, yes };
  Params(ParamList list, Gradients gradients, TpPart part = {}, ParamStorage storage = {});

  const std::vector<ParamSpec>& specs() const { return list_.specs(); }
  std::int64_t count() const { return list_.count(); }
  TpPart part() const { return part_; }
  /// Where the parameters [first, last) lie in the flat buffers.
  Range flat_range(ParamId first, ParamId last) const;
  Device device() const { return storage_.device; }
  /// As kernels read it; an empty view for ParamId::none.
  View weight(ParamId id) const;
  View grad(ParamId id) const;  ///< an empty view for ParamId::none or without gradients
  View weights() { return weights_.view(); }
  ConstView weights() const { return weights_.view(); }
  ConstView copies() const { return copies_.view(); }
  View copies() { return copies_.view(); }  ///< what kernels read; empty where that is weights()
  View grads() { return grads_.view(); }
  ConstView grads() const { return grads_.view(); }
  /// The piece of another flat buffer of the same layout (Adam's moments) that belongs to `id`.
  View part_of(View flat, ParamId id) const;
  ConstView part_of(ConstView flat, ParamId id) const;
  std::vector<NamedView> named(View flat) const;

  /// Elements [begin, end) of the flat buffers that share one rule of weight decay; together they
  /// cover everything.
  struct DecayRange {
    std::int64_t begin, end;
    bool decay;
  };
  std::vector<DecayRange> decay_ranges() const;

  /// The parts of the flat buffers whose squares count in a norm over the tp ranks: what several of
  /// them hold alike counts once.
  std::vector<Range> counted() const;

  /// Draws every parameter from (seed, its name, the element's index in the whole): the same on any
  /// mesh.
  void initialise(const Exec&, std::uint64_t seed);
  /// Overwrites one parameter's part, and its copy, from f32 host memory of the part's shape, which
  /// may be reused at once.
  void write(const Exec&, ParamId id, ConstView host);
  /// copies() = weights(), rounded; nothing where there are none.
  void round_copies(const Exec&);

 private:
  template <class AnyView>
  AnyView piece_of(AnyView flat, ParamId id) const;

  ParamList list_;
  TpPart part_;
  std::vector<std::int64_t> offsets_;  // of each parameter, and of the end
  ParamStorage storage_;
  // Views into them are handed out as writable; see weight(), grad().
  mutable Tensor weights_, grads_, copies_;
};

}  // namespace mixspan
