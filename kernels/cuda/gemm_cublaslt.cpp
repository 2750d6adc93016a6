// gemm() on cuBLASLt: descriptors, the choice of an algorithm, and the call.
#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "core/cuda/cuda_check.h"
#include "core/device.h"
#include "kernels/cuda/algorithm_file.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/libraries.h"

namespace mixspan::cuda {

struct Libraries::State {
  State(Device device, const LibraryOptions& options)
      : file(options.algorithms), workspace(device, kWorkspaceBytes, "cuBLASLt's workspace") {
    lt.check(lt.create(&handle));
    const DeviceInfo info = describe(device);
    place = fmt::format("{},sm_{}{},{}SM,cublaslt{}", info.name, info.major, info.minor,
                        info.sm_count, lt.version());
    // A key must be one line without a tab, whatever a device is called.
    std::replace_if(
        place.begin(), place.end(), [](char c) { return c == '\t' || c == '\n'; }, ' ');
  }
  ~State() {
    if (handle != nullptr) lt.destroy(handle);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  CublasLt lt;
  cublasLtHandle_t handle = nullptr;
  AlgorithmFile file;
  DeviceBuffer workspace;
  std::string place;  ///< device and version of the library: the first part of the keys of the file
  /// What has been chosen by this process; nothing where cuBLASLt has no algorithm.
  std::map<std::string, std::optional<cublasLtMatmulAlgo_t>> chosen;
};

Libraries::Libraries(Device device, LibraryOptions options) : options_(std::move(options)) {
  require_device(device);
  use_device(device);
  state_ = std::make_unique<State>(device, options_);
}
Libraries::~Libraries() = default;

namespace {

constexpr int kCandidates = 16, kTimedRuns = 7;

cudaDataType_t cuda_type(DType dtype) { return dtype == DType::f32 ? CUDA_R_32F : CUDA_R_16BF; }

cublasLtEpilogue_t cublas_epilogue(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::none:
      return CUBLASLT_EPILOGUE_DEFAULT;
    case Epilogue::bias:
      return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::gelu_aux:
      return CUBLASLT_EPILOGUE_GELU_AUX;
    case Epilogue::gelu_aux_bias:
      return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    case Epilogue::dgelu:
      return CUBLASLT_EPILOGUE_DGELU;
    case Epilogue::bias_gradient:
      return CUBLASLT_EPILOGUE_BGRADB;
  }
  fail("no such epilogue");
}

// The descriptors of one product, as long as they are needed.
class Descriptors {
 public:
  Descriptors(const CublasLt& lt, const Gemm& g) : lt_(lt) {
    // CUBLAS_COMPUTE_32F: products of f32 are taken in full fp32; TF32 would have to be asked for.
    lt.check(lt.desc_create(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    set(CUBLASLT_MATMUL_DESC_TRANSA, g.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, g.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, cublas_epilogue(g.epilogue));
    if (g.bias != nullptr) {
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, g.bias);
      const DType dtype = g.epilogue == Epilogue::bias_gradient ? DType::f32 : g.d.dtype;
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, cuda_type(dtype));
    }
    if (g.aux != nullptr) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, g.aux);
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, g.aux_ld);
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, cuda_type(g.d.dtype));
    }
    a = layout(g.a, g.trans_a ? g.k : g.m, g.trans_a ? g.m : g.k);
    b = layout(g.b, g.trans_b ? g.n : g.k, g.trans_b ? g.k : g.n);
    c = layout(g.c.data != nullptr ? g.c : g.d, g.m, g.n);
    d = layout(g.d, g.m, g.n);
  }
  ~Descriptors() {
    for (cublasLtMatrixLayout_t x : {a, b, c, d}) {
      if (x != nullptr) lt_.layout_destroy(x);
    }
    if (product != nullptr) lt_.desc_destroy(product);
  }
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;

  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr, d = nullptr;

 private:
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, T value) {
    lt_.check(lt_.desc_set(product, attribute, &value, sizeof value));
  }
  cublasLtMatrixLayout_t layout(const GemmMatrix& x, std::int64_t rows, std::int64_t cols) {
    cublasLtMatrixLayout_t made = nullptr;
    lt_.check(lt_.layout_create(&made, cuda_type(x.dtype), static_cast<std::uint64_t>(rows),
                                static_cast<std::uint64_t>(cols), x.ld));
    return made;
  }

  const CublasLt& lt_;
};

// The product into `out`, which has the layout of d.
cublasStatus_t call(const Exec& ex, Libraries::State& s, const Gemm& g, const Descriptors& desc,
                    const cublasLtMatmulAlgo_t& algorithm, void* out) {
  const float alpha = 1, beta = g.c.data != nullptr ? 1.0f : 0.0f;
  const void* c = g.c.data != nullptr ? g.c.data : out;
  return s.lt.matmul(s.handle, desc.product, &alpha, g.a.data, desc.a, g.b.data, desc.b, &beta, c,
                     desc.c, out, desc.d, &algorithm, s.workspace.data(), s.workspace.bytes(),
                     native(ex.stream));
}

// cuBLASLt's suggestions, best first by its own estimate.
std::vector<cublasLtMatmulAlgo_t> candidates(Libraries::State& s, const Gemm& g,
                                             const Descriptors& desc) {
  cublasLtMatmulPreference_t preference = nullptr;
  s.lt.check(s.lt.preference_create(&preference));
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    s.lt.check(s.lt.preference_set(preference, attribute, &value, sizeof value));
  };
  const auto alignment = [](const GemmMatrix& x) {
    return static_cast<std::uint32_t>(alignment_of(x.data, x.dtype, x.ld));
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{s.workspace.bytes()});
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(g.a));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(g.b));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(g.c.data != nullptr ? g.c : g.d));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(g.d));
  std::array<cublasLtMatmulHeuristicResult_t, kCandidates> results{};
  int found = 0;
  const cublasStatus_t status =
      s.lt.heuristic(s.handle, desc.product, desc.a, desc.b, desc.c, desc.d, preference,
                     kCandidates, results.data(), &found);
  s.lt.preference_destroy(preference);
  std::vector<cublasLtMatmulAlgo_t> usable;
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return usable;
  s.lt.check(status);
  for (int i = 0; i < found; ++i) {
    const auto& result = results[static_cast<std::size_t>(i)];
    if (result.state == CUBLAS_STATUS_SUCCESS) usable.push_back(result.algo);
  }
  return usable;
}

// Median of some runs, in milliseconds; nothing where the algorithm will not run.
std::optional<float> timed(const Exec& ex, Libraries::State& s, const Gemm& g,
                           const Descriptors& desc, const cublasLtMatmulAlgo_t& algorithm,
                           void* out) {
  if (call(ex, s, g, desc, algorithm, out) != CUBLAS_STATUS_SUCCESS) return std::nullopt;
  const OwnedEvent begin(ex.device, true), end(ex.device, true);
  std::array<float, kTimedRuns> times{};
  for (float& time : times) {
    record(begin, ex.stream);
    s.lt.check(call(ex, s, g, desc, algorithm, out));
    record(end, ex.stream);
    synchronise(end);
    time = milliseconds_between(begin, end);
  }
  std::sort(times.begin(), times.end());
  return times[kTimedRuns / 2];
}

const cublasLtMatmulAlgo_t& fastest(const Exec& ex, Libraries::State& s, const Gemm& g,
                                    const Descriptors& desc,
                                    const std::vector<cublasLtMatmulAlgo_t>& all) {
  // A product that is added to its own result would add once for every run: those go elsewhere.
  DeviceBuffer elsewhere;
  void* out = const_cast<void*>(g.d.data);
  if (g.c.data == g.d.data) {
    const auto elements = static_cast<std::size_t>(g.d.ld * g.n);
    elsewhere = DeviceBuffer(ex.device, elements * size_of(g.d.dtype), "timing of matrix products");
    out = elsewhere.data();
  }
  const cublasLtMatmulAlgo_t* best = nullptr;
  float best_time = 0;
  for (const cublasLtMatmulAlgo_t& algorithm : all) {
    const std::optional<float> time = timed(ex, s, g, desc, algorithm, out);
    if (!time || (best != nullptr && *time >= best_time)) continue;
    best = &algorithm;
    best_time = *time;
  }
  mixspan::check(best != nullptr, "none of cuBLASLt's {} algorithms ran for {}", all.size(),
                 key_of(g));
  return *best;
}

std::optional<cublasLtMatmulAlgo_t> choose(const Exec& ex, Libraries& libraries, const Gemm& g,
                                           const Descriptors& desc, const std::string& key) {
  Libraries::State& s = libraries.state();
  const std::optional<AlgorithmWords> words =
      s.file.get(s.place + "," + key, [&]() -> std::optional<AlgorithmWords> {
        const std::vector<cublasLtMatmulAlgo_t> all = candidates(s, g, desc);
        if (all.empty()) return std::nullopt;
        const bool tune = libraries.options().tune && all.size() > 1;
        const cublasLtMatmulAlgo_t& algorithm = tune ? fastest(ex, s, g, desc, all) : all[0];
        AlgorithmWords kept;
        std::copy(std::begin(algorithm.data), std::end(algorithm.data), kept.begin());
        return kept;
      });
  if (!words) return std::nullopt;
  cublasLtMatmulAlgo_t algorithm;
  std::copy(words->begin(), words->end(), std::begin(algorithm.data));
  cublasLtMatmulHeuristicResult_t result{};
  const cublasStatus_t status =
      s.lt.algo_check(s.handle, desc.product, desc.a, desc.b, desc.c, desc.d, &algorithm, &result);
  require(status == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= s.workspace.bytes(),
          "{}: cuBLASLt does not take the algorithm kept for {},{} ({}); remove the file, and new "
          "choices are made",
          libraries.options().algorithms.string(), s.place, key, s.lt.status_name(status));
  return algorithm;
}

}  // namespace

bool gemm(const Exec& ex, const Gemm& g) {
  Libraries& libraries = libraries_of(ex);
  Libraries::State& s = libraries.state();
  const Descriptors desc(s.lt, g);
  const std::string key = key_of(g);
  auto found = s.chosen.find(key);
  if (found == s.chosen.end()) {
    found = s.chosen.emplace(key, choose(ex, libraries, g, desc, key)).first;
  }
  if (!found->second) return false;
  s.lt.check(call(ex, s, g, desc, *found->second, const_cast<void*>(g.d.data)));
  return true;
}

}  // namespace mixspan::cuda
