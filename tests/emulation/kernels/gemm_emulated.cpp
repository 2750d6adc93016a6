// gemm() in the emulated flavour: what cuBLASLt is asked for, computed by plain loops in
// column-major order on the emulated device. It knows nothing of rows, so that what turns our
// row-major products into column-major ones is tested without a GPU. As cuBLASLt has, it has
// several algorithms that sum in different orders, and keeps which one a product uses.
#include <cmath>
#include <numbers>

#include "kernels/cuda/algorithm_file.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/libraries.h"
#include "tests/emulation/emulation.h"

namespace mixspan::cuda {

struct Libraries::State {
  explicit State(const LibraryOptions& options) : file(options.algorithms) {}
  AlgorithmFile file;
};
Libraries::Libraries(Device device, LibraryOptions options)
    : options_(std::move(options)), state_(std::make_unique<State>(options_)) {
  require_device(device);
}
Libraries::~Libraries() = default;

namespace {

float read(const void* data, DType dtype, std::int64_t i) {
  if (dtype == DType::f32) return static_cast<const float*>(data)[i];
  return static_cast<float>(static_cast<const bf16*>(data)[i]);
}
void write(void* data, DType dtype, std::int64_t i, float x) {
  if (dtype == DType::f32) {
    static_cast<float*>(data)[i] = x;
  } else {
    static_cast<bf16*>(data)[i] = bf16(x);
  }
}
float element(const GemmMatrix& x, bool transpose, std::int64_t row, std::int64_t col) {
  return read(x.data, x.dtype, transpose ? col + row * x.ld : row + col * x.ld);
}

constexpr float kScale = 0.7978845608f, kCube = 0.044715f;  // sqrt(2 / pi)

float gelu(float x) { return 0.5f * x * (1 + std::tanh(kScale * (x + kCube * x * x * x))); }
float gelu_slope(float x) {
  const float t = std::tanh(kScale * (x + kCube * x * x * x));
  return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * kScale * (1 + 3 * kCube * x * x);
}

enum class Algorithm : std::uint64_t { forward, backward };  // the order of the sums

// One element of d: the sum, then the epilogue.
void compute(const Gemm& g, Algorithm algorithm, std::int64_t row, std::int64_t col) {
  float sum = 0;
  for (std::int64_t n = 0; n < g.k; ++n) {
    const std::int64_t i = algorithm == Algorithm::forward ? n : g.k - 1 - n;
    sum += element(g.a, g.trans_a, row, i) * element(g.b, g.trans_b, i, col);
  }
  if (g.c.data != nullptr) sum += element(g.c, false, row, col);
  const bool has_bias = g.epilogue == Epilogue::bias || g.epilogue == Epilogue::gelu_aux_bias;
  if (has_bias) sum += read(g.bias, g.d.dtype, row);
  if (g.epilogue == Epilogue::gelu_aux || g.epilogue == Epilogue::gelu_aux_bias) {
    write(g.aux, g.d.dtype, row + col * g.aux_ld, sum);
    sum = gelu(sum);
  }
  if (g.epilogue == Epilogue::dgelu) {
    sum *= gelu_slope(read(g.aux, g.d.dtype, row + col * g.aux_ld));
  }
  write(const_cast<void*>(g.d.data), g.d.dtype, row + col * g.d.ld, sum);
}

constexpr int kThreads = 64;

// A thread computes one column: all it reads of a c that is d, it reads before it writes there.
__global__ void gemm_kernel(Gemm g, Algorithm algorithm) {
  const std::int64_t col = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (col >= g.n) return;
  for (std::int64_t row = 0; row < g.m; ++row) compute(g, algorithm, row, col);
  if (g.epilogue == Epilogue::bias_gradient) {
    float sum = 0;
    for (std::int64_t i = 0; i < g.k; ++i) sum += element(g.b, g.trans_b, i, col);
    static_cast<float*>(g.bias)[col] = sum;
  }
}

void check_pointer(const GemmMatrix& x, std::int64_t rows, std::string_view name) {
  mixspan::check(x.data != nullptr && x.ld >= rows, "gemm: {}: ld {} for {} rows", name, x.ld,
                 rows);
}

bool is_aligned(const Gemm& g) {
  bool aligned = true;
  for (const GemmMatrix* x : {&g.a, &g.b, &g.c, &g.d}) {
    aligned &= x->data == nullptr || alignment_of(x->data, x->dtype, x->ld) == 16;
  }
  return aligned;
}

Algorithm algorithm_of(Libraries& libraries, const std::string& key) {
  const AlgorithmWords words = *libraries.state().file.get("emulated," + key, [&] {
    const bool tune = libraries.options().tune;
    return AlgorithmWords{tune ? emulation::settings().fastest_product : 0};
  });
  require(words[0] <= 1, "{}: algorithm {} is kept for {}; wanted 0 or 1",
          libraries.options().algorithms.string(), words[0], key);
  return static_cast<Algorithm>(words[0]);
}

}  // namespace

bool gemm(const Exec& ex, const Gemm& g) {
  Libraries& libraries = libraries_of(ex);
  // What cuBLASLt refuses, so that a call it would refuse fails here too.
  mixspan::check(g.m > 0 && g.n > 0 && g.k > 0, "gemm: {}", key_of(g));
  check_pointer(g.a, g.trans_a ? g.k : g.m, "a");
  check_pointer(g.b, g.trans_b ? g.n : g.k, "b");
  check_pointer(g.d, g.m, "d");
  if (g.c.data != nullptr) check_pointer(g.c, g.m, "c");
  mixspan::check(g.aux == nullptr || (g.aux_ld % 8 == 0 && g.aux_ld >= g.m &&
                                      alignment_of(g.aux, g.d.dtype, g.aux_ld) == 16),
                 "gemm: aux of {}", key_of(g));
  if (emulation::settings().aligned_products_only && !is_aligned(g)) return false;
  // As cuBLASLt may, this one has no epilogues for sizes of 1: the ways around them are tested too.
  if (g.epilogue != Epilogue::none && (g.m == 1 || g.n == 1)) return false;
  launch(ex, gemm_kernel, dim3(blocks_for(g.n, kThreads)), dim3(kThreads), 0, g,
         algorithm_of(libraries, key_of(g)));
  return true;
}

}  // namespace mixspan::cuda
