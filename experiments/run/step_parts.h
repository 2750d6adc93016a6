// The parts that the time of a training step is told by, and what a trace calls them.
#pragma once

#include <string_view>
#include <vector>

namespace mixspan {

enum class Part {
  gemm,             ///< matrix products, with what rides on them: bias, GELU, residual
  full_attention,   ///< of layers that see everything
  short_attention,  ///< of all other layers
  elementwise,      ///< norms, GELU's gradient, embeddings, copies
  loss,
  optimizer,      ///< AdamW and the gradients' norm
  communication,  ///< waiting for other ranks: what nothing hid
  data,           ///< making the batch
  other,          ///< what no range names; on a device with the time in which it had nothing to do
};

/// All but `other`, in the order of the enumeration.
const std::vector<Part>& named_parts();

/// "matrix products": for a person.
std::string_view title(Part part);
/// "gemm": for a file.
std::string_view key(Part part);

/// The part that a range called so belongs to, as kernels, communicators and the trainer call them;
/// `other` for those that only hold ranges, such as "forward".
Part part_of(std::string_view range);

}  // namespace mixspan
