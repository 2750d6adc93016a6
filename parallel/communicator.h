// A group of ranks as a value you hold: no default group, no global state.
#pragma once

#include <memory>

#include "core/tensor.h"

namespace mixspan {

/// Collectives over one axis of the mesh. At size 1 every operation is the identity.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Overwrites x with the sum over all ranks, the same bits on each.
  virtual void all_reduce_sum(View x) = 0;
  virtual double all_reduce_sum(double x) = 0;
  /// The largest value over all ranks; carries flags such as "a signal arrived".
  virtual double all_reduce_max(double x) = 0;
  virtual void barrier() = 0;
};

/// The group of one.
std::unique_ptr<Communicator> make_self_communicator();

}  // namespace mixspan
