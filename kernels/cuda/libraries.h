// What matrix products on a device need beside the device: cuBLASLt, its workspace, and which of
// its algorithms a run uses. One for each Exec, made by whoever makes the Exec.
#pragma once

#include <filesystem>
#include <memory>

#include "core/exec.h"

namespace mixspan::cuda {

struct LibraryOptions {
  /// Where the choice of algorithms is kept (kernels/cuda/algorithm_file.h); empty: nowhere. A run
  /// gives a file of its own folder: the choice decides the bits of its results, so it belongs to
  /// the run, as its checkpoints do, and not to whoever happens to start it.
  std::filesystem::path algorithms;
  /// Time the candidates of each new product; otherwise cuBLASLt's first suggestion is taken.
  bool tune = false;
  /// Let cuBLASLt compute GELU and its gradient inside the products. Its form is checked once on
  /// the device; a run whose cuBLASLt computes another one stops.
  bool fuse_gelu = false;
  /// Let cuBLASLt sum the gradients of biases inside the products of the weights' gradients.
  bool fuse_bias_gradient = false;
};

class Libraries {
 public:
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

  /// Throws Error where the device or cuBLASLt cannot be used. Uses the device while it is made.
  explicit Libraries(Device device, LibraryOptions options = {});
  ~Libraries();
  Libraries(const Libraries&) = delete;
  Libraries& operator=(const Libraries&) = delete;

  const LibraryOptions& options() const { return options_; }
  /// Whether the GELU of the products has been compared with ours: once for each dtype.
  bool& gelu_checked(DType dtype) { return gelu_checked_[dtype == DType::f32 ? 0 : 1]; }

  struct State;  ///< known to the file that calls cuBLASLt
  State& state() { return *state_; }

 private:
  LibraryOptions options_;
  bool gelu_checked_[2] = {false, false};
  std::unique_ptr<State> state_;
};

}  // namespace mixspan::cuda
