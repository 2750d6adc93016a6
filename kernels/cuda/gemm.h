// One matrix product as cuBLASLt sees it: column-major, with what it does to the result on the way.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::cuda {

enum class Epilogue {
  none,
  bias,           ///< adds bias(m) to every column
  gelu_aux,       ///< aux = the sum, d = gelu(sum)
  gelu_aux_bias,  ///< bias, then gelu_aux
  dgelu,          ///< d = sum * gelu'(aux)
  bias_gradient,  ///< beside the product: bias(n) = sums of op(b) over k
};
std::string_view name_of(Epilogue);

/// Column-major: element (row, col) is data[row + col * ld].
struct GemmMatrix {
  const void* data = nullptr;
  DType dtype = DType::f32;
  std::int64_t ld = 0;
};

/// d(m, n) = epilogue(op(a)(m, k) op(b)(k, n) [+ c(m, n)]). All sums in f32, rounded once to d's
/// dtype. a and b are both f32 or both bf16; c and d are of one dtype: the same, or f32.
struct Gemm {
  Epilogue epilogue = Epilogue::none;
  bool trans_a = false, trans_b = false;
  std::int64_t m = 0, n = 0, k = 0;
  GemmMatrix a, b, d;
  GemmMatrix c;          ///< no data: nothing is added; may be d
  void* bias = nullptr;  ///< read, of d's dtype; with bias_gradient written, f32
  void* aux = nullptr;   ///< (m, n) of d's dtype: written by gelu_aux*, read by dgelu
  std::int64_t aux_ld = 0;
};

/// The largest power of two, at most 16, that divides the address and the bytes from column to
/// column: what an algorithm may assume.
int alignment_of(const void* data, DType dtype, std::int64_t ld);

/// Everything that decides which algorithms can compute a product, as one word: sizes, transposes,
/// dtypes, leading dimensions, alignments, epilogue.
std::string key_of(const Gemm&);

/// Runs the product on the stream of the Exec. False, with nothing done, where cuBLASLt has no
/// algorithm for it with this epilogue.
[[nodiscard]] bool gemm(const Exec&, const Gemm&);

/// The libraries of an Exec on a device; throws where it has none.
class Libraries;
Libraries& libraries_of(const Exec&);

}  // namespace mixspan::cuda
