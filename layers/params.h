// Parameters: layers declare them, one owner allocates them in one flat buffer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/named_view.h"
#include "core/tensor.h"

namespace mixspan {

enum class Init { zeros, ones, normal };

struct ParamSpec {
  std::string name;  ///< "h.3.attn.qkv.weight"
  Shape shape;
  Init init = Init::zeros;
  double std = 0;      ///< of Init::normal
  bool decay = false;  ///< whether weight decay applies: matrices yes, biases and gains no
};

/// Index of a parameter in its ParamList.
enum class ParamId : std::int32_t { none = -1 };

/// What the layers of a model declared, in declaration order.
class ParamList {
 public:
  /// Throws Error when the name is taken.
  ParamId add(ParamSpec spec);
  const std::vector<ParamSpec>& specs() const { return specs_; }
  std::int64_t count() const;  ///< numbers in all parameters

 private:
  std::vector<ParamSpec> specs_;
};

/// Weights and, for training, gradients of every parameter. Each is one flat f32 buffer in which
/// every parameter starts on a cache line; the padding between them is zero and stays zero, so an
/// optimiser or a norm may run over the whole buffer.
class Params {
 public:
  enum class Gradients { no, yes };
  Params(ParamList list, Gradients gradients);

  const std::vector<ParamSpec>& specs() const { return list_.specs(); }
  std::int64_t count() const { return list_.count(); }
  View weight(ParamId id) const;  ///< an empty view for ParamId::none
  View grad(ParamId id) const;    ///< an empty view for ParamId::none or without gradients
  View weights() { return weights_.view(); }
  View grads() { return grads_.view(); }
  /// The piece of another flat buffer of the same layout (Adam's moments) that belongs to `id`.
  View part_of(View flat, ParamId id) const;
  std::vector<NamedView> named(View flat) const;

  /// Elements [begin, end) of the flat buffers that share one rule of weight decay; together they
  /// cover everything.
  struct DecayRange {
    std::int64_t begin, end;
    bool decay;
  };
  std::vector<DecayRange> decay_ranges() const;

  /// Draws every parameter from (seed, its name, the element's index): the same on any sharding.
  void initialise(std::uint64_t seed);

 private:
  ParamList list_;
  std::vector<std::int64_t> offsets_;
  mutable Tensor weights_,
      grads_;  // views into them are handed out as writable; see weight(), grad()
};

}  // namespace mixspan
