#include "kernels/cuda/gemm.h"

#include <bit>

namespace mixspan::cuda {

std::string_view name_of(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::none:
      return "none";
    case Epilogue::bias:
      return "bias";
    case Epilogue::gelu_aux:
      return "gelu_aux";
    case Epilogue::gelu_aux_bias:
      return "gelu_aux_bias";
    case Epilogue::dgelu:
      return "dgelu";
    case Epilogue::bias_gradient:
      return "bias_gradient";
  }
  return "?";
}

int alignment_of(const void* data, DType dtype, std::int64_t ld) {
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  const auto column = static_cast<std::uintptr_t>(ld) * size_of(dtype);
  return 1 << std::countr_zero(address | column | 16);
}

std::string key_of(const Gemm& g) {
  const auto matrix = [](const GemmMatrix& x) {
    if (x.data == nullptr) return std::string("-");
    return fmt::format("{}/{}/{}", mixspan::name_of(x.dtype), x.ld,
                       alignment_of(x.data, x.dtype, x.ld));
  };
  const bool in_place = g.c.data != nullptr && g.c.data == g.d.data;
  std::string key = fmt::format("{}{},m{},n{},k{},a:{},b:{},c:{},d:{},{}", g.trans_a ? 'T' : 'N',
                                g.trans_b ? 'T' : 'N', g.m, g.n, g.k, matrix(g.a), matrix(g.b),
                                in_place ? "d" : matrix(g.c), matrix(g.d), name_of(g.epilogue));
  if (g.bias != nullptr) key += fmt::format(",bias/{}", alignment_of(g.bias, DType::u8, 0));
  if (g.aux != nullptr) {
    key += fmt::format(",aux/{}/{}", g.aux_ld, alignment_of(g.aux, g.d.dtype, g.aux_ld));
  }
  return key;
}

Libraries& libraries_of(const Exec& ex) {
  check(ex.libraries != nullptr,
        "a matrix product on a device needs Exec::libraries (kernels/cuda/libraries.h)");
  return *ex.libraries;
}

}  // namespace mixspan::cuda
