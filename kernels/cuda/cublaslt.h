// cuBLASLt, opened when it is first needed: a program that was built with CUDA also starts where
// the library is not, on a login node or a machine without a GPU.
#pragma once

#include <cublasLt.h>

#include <memory>
#include <source_location>
#include <string>

namespace mixspan::cuda {

/// The functions that are used, each with the name it has without its prefix.
class CublasLt {
 public:
  /// Throws Error naming the places looked at, where no cuBLASLt of the version that this program
  /// was built for is found. LD_LIBRARY_PATH comes first.
  CublasLt();

  decltype(&::cublasLtCreate) create;
  decltype(&::cublasLtDestroy) destroy;
  decltype(&::cublasLtGetVersion) version;
  decltype(&::cublasLtGetStatusName) status_name;
  decltype(&::cublasLtMatmul) matmul;
  decltype(&::cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&::cublasLtMatmulAlgoCheck) algo_check;
  decltype(&::cublasLtMatmulDescCreate) desc_create;
  decltype(&::cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&::cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&::cublasLtMatrixLayoutCreate) layout_create;
  decltype(&::cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&::cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&::cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&::cublasLtMatmulPreferenceSetAttribute) preference_set;

  /// Throws Error with the place of the call and cuBLASLt's name of the status.
  void check(cublasStatus_t status,
             std::source_location where = std::source_location::current()) const;

 private:
  struct Close {
    void operator()(void* library) const;
  };
  std::unique_ptr<void, Close> library_;
};

}  // namespace mixspan::cuda
