#include "kernels/cuda/gelu_check.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/copy.h"
#include "core/device.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/libraries.h"

namespace mixspan::cuda {

namespace {

constexpr std::int64_t kSide = 64;

double tanh_form(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}
double erf_form(double x) { return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2)); }

// The i-th of kSide * kSide values in [-3.25, -2): there the forms lie up to 4e-4 apart, and GELU
// is so small that bf16 rounds it by less than 1.3e-4. Each is a bf16 itself.
float value(std::int64_t i) {
  return static_cast<float>(bf16(-2.0f - 1.25f * static_cast<float>(i + 1) / (kSide * kSide)));
}

template <class T>
GeluDistance measure(const Exec& ex) {
  const Shape square{kSide, kSide};
  Tensor x(square, dtype_of<T>()), identity(square, dtype_of<T>()), y(square, dtype_of<T>());
  for (std::int64_t i = 0; i < kSide * kSide; ++i) x.data<T>()[i] = T(value(i));
  for (std::int64_t i = 0; i < kSide; ++i) identity.data<T>()[i * kSide + i] = T(1.0f);
  const Arena::Scope scope = ex.scratch.scope();
  const auto place = [&] { return ex.scratch.allocate("check of GELU", square, dtype_of<T>()); };
  const View dx = place(), di = place(), dy = place(), aux = place();
  copy(ex, dx, x);
  copy(ex, di, identity);
  Gemm g;
  g.epilogue = Epilogue::gelu_aux;
  g.m = g.n = g.k = kSide;
  g.a = {di.raw(), di.dtype(), kSide};
  g.b = {dx.raw(), dx.dtype(), kSide};
  g.d = {dy.raw(), dy.dtype(), kSide};
  g.aux = aux.raw();
  g.aux_ld = kSide;
  GeluDistance distance;
  distance.computed = gemm(ex, g);
  if (!distance.computed) return distance;
  copy(ex, y, dy);
  synchronise(ex.stream);
  for (std::int64_t i = 0; i < kSide * kSide; ++i) {
    const double got = static_cast<float>(y.data<T>()[i]), at = value(i);
    distance.tanh_form = std::max(distance.tanh_form, std::abs(got - tanh_form(at)));
    distance.erf_form = std::max(distance.erf_form, std::abs(got - erf_form(at)));
  }
  return distance;
}

}  // namespace

GeluDistance measure_gelu_epilogue(const Exec& ex, DType dtype) {
  GeluDistance distance;
  dispatch<float, bf16>("measure_gelu_epilogue", dtype,
                        [&]<class T>() { distance = measure<T>(ex); });
  return distance;
}

void check_gelu_epilogue(const Exec& ex, DType dtype) {
  bool& checked = libraries_of(ex).gelu_checked(dtype);
  if (checked) return;
  const GeluDistance distance = measure_gelu_epilogue(ex, dtype);
  check(
      !distance.computed || distance.tanh_form < distance.erf_form / 2,
      "cuBLASLt's GELU on {} is not the tanh form: it is off by {:.2g}, and by {:.2g} from the erf "
      "form; turn fused GELU off",
      ex.device.str(), distance.tanh_form, distance.erf_form);
  checked = true;
}

}  // namespace mixspan::cuda
