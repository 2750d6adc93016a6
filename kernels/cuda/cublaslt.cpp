#include "kernels/cuda/cublaslt.h"

#include <dlfcn.h>

#include "core/error.h"

namespace mixspan::cuda {

namespace {

// By the name that the dynamic linker knows, then where NVIDIA's installer puts it.
void* open_library() {
  const std::string name = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
  std::string reasons;
  for (const char* folder : {"", "/usr/local/cuda/lib64/"}) {
    if (void* library = dlopen((folder + name).c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
    reasons += fmt::format("{}{}", reasons.empty() ? "" : "; ", dlerror());
  }
  fail("matrix products on a GPU need {} of CUDA {} (put its folder into LD_LIBRARY_PATH): {}",
       name, CUBLAS_VER_MAJOR, reasons);
}

template <class Function>
void find(void* library, Function& function, const char* name) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  check(function != nullptr, "{}: {}", name, dlerror());
}

}  // namespace

void CublasLt::Close::operator()(void* library) const { dlclose(library); }

CublasLt::CublasLt() : library_(open_library()) {
  void* const library = library_.get();
  find(library, create, "cublasLtCreate");
  find(library, destroy, "cublasLtDestroy");
  find(library, version, "cublasLtGetVersion");
  find(library, status_name, "cublasLtGetStatusName");
  find(library, matmul, "cublasLtMatmul");
  find(library, heuristic, "cublasLtMatmulAlgoGetHeuristic");
  find(library, algo_check, "cublasLtMatmulAlgoCheck");
  find(library, desc_create, "cublasLtMatmulDescCreate");
  find(library, desc_destroy, "cublasLtMatmulDescDestroy");
  find(library, desc_set, "cublasLtMatmulDescSetAttribute");
  find(library, layout_create, "cublasLtMatrixLayoutCreate");
  find(library, layout_destroy, "cublasLtMatrixLayoutDestroy");
  find(library, preference_create, "cublasLtMatmulPreferenceCreate");
  find(library, preference_destroy, "cublasLtMatmulPreferenceDestroy");
  find(library, preference_set, "cublasLtMatmulPreferenceSetAttribute");
}

void CublasLt::check(cublasStatus_t status, std::source_location where) const {
  mixspan::check(status == CUBLAS_STATUS_SUCCESS, "{}:{}: cuBLASLt says {}", where.file_name(),
                 where.line(), status_name(status));
}

}  // namespace mixspan::cuda
