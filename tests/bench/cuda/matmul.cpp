// The matrix products of a training step of the 1.3B model (width 2048, MLP 8192, vocabulary 50304)
// on a device: TFLOP/s with cuBLASLt's first suggestion and with the fastest of its suggestions,
// with GELU and bias gradients inside the products and beside them.
//   bench_cuda_matmul [TOKENS]   8192 by default
#include <fmt/core.h>

#include <string>
#include <vector>

#include "kernels/cuda/gelu_check.h"
#include "kernels/matmul.h"
#include "tests/bench/cuda/device_bench.h"

namespace {

using namespace mixspan;

constexpr std::int64_t kC = 2048, kF = 8192, kV = 50304, kHeadRows = 4096;

/// Inputs and outputs of the largest products; each case takes a part.
struct Matrices {
  Matrices(bench::DeviceBench& b, std::int64_t tokens)
      : x(b.random({tokens * kF}, DType::bf16)),
        w(b.random({kV * kC}, DType::bf16, 0.02)),
        dy(b.random({std::max(tokens * kF, kHeadRows * kV)}, DType::bf16)),
        bias(b.random({kV}, DType::bf16)),
        y(b.empty({std::max(tokens * kF, kHeadRows * kV)}, DType::bf16)),
        pre(b.random({tokens * kF}, DType::bf16)),
        dx(b.empty({tokens * kF}, DType::bf16)),
        dw(b.random({kV * kC}, DType::f32)),
        dbias(b.random({kV}, DType::f32)) {}
  Tensor x, w, dy, bias, y, pre, dx, dw, dbias;
};

View part(Tensor& t, std::int64_t rows, std::int64_t cols) {
  return t.view().slice(0, 0, rows * cols).reshape({rows, cols});
}

struct Product {
  std::string name;
  double flops;
  std::function<void(const Exec&)> run;
};

void add_layer(std::vector<Product>& all, Matrices& m, const std::string& name, std::int64_t rows,
               std::int64_t C, std::int64_t F) {
  const View x = part(m.x, rows, C), w = part(m.w, F, C), y = part(m.y, rows, F);
  const View dy = part(m.dy, rows, F), dx = part(m.dx, rows, C), dw = part(m.dw, F, C);
  const View bias = m.bias.view().slice(0, 0, F), dbias = m.dbias.view().slice(0, 0, F);
  const double flops = 2.0 * static_cast<double>(rows * C * F);
  const auto add = [&](const char* what, std::function<void(const Exec&)> run) {
    all.push_back(
        {fmt::format("{} {} ({}, {}) {}", name, what, rows, C, F), flops, std::move(run)});
  };
  if (name == "fc") {
    const View pre = part(m.pre, rows, F);
    add("forward, gelu", [=](const Exec& ex) { linear_gelu_forward(ex, y, pre, x, w, bias); });
  } else if (name == "qkv" || name == "head") {
    add("forward", [=](const Exec& ex) { linear_forward(ex, y, x, w, {}); });
  } else {
    add("forward, residual",
        [=](const Exec& ex) { linear_residual_forward(ex, y, x, w, bias, dy); });
  }
  if (name == "fc_proj") {
    const View pre = part(m.pre, rows, C);
    add("dx, gelu", [=](const Exec& ex) { linear_gelu_input_gradient(ex, dx, {}, dy, w, pre); });
  } else {
    add("dx", [=](const Exec& ex) { matmul(ex, dx, Transpose::no, dy, Transpose::no, w); });
  }
  const View db = name == "qkv" || name == "head" ? View() : dbias;
  add(db.empty() ? "dw" : "dw, dbias",
      [=](const Exec& ex) { linear_backward(ex, {}, dw, db, dy, x, w); });
}

void run(std::int64_t tokens) {
  bench::DeviceBench first;  // cuBLASLt's own order, nothing fused
  for (const DType dtype : {DType::bf16, DType::f32}) {
    const cuda::GeluDistance d = cuda::measure_gelu_epilogue(first.exec(), dtype);
    fmt::print("# GELU of products in {}: {}\n", name_of(dtype),
               d.computed ? fmt::format("{:.1e} from the tanh form, {:.1e} from the erf form",
                                        d.tanh_form, d.erf_form)
                          : "not there");
  }
  const auto libraries = [](bool tune, bool fuse) {
    cuda::LibraryOptions options;
    options.tune = tune;
    options.fuse_gelu = options.fuse_bias_gradient = fuse;
    return std::make_unique<cuda::Libraries>(Device{DeviceKind::cuda, 0}, options);
  };
  const auto tuned = libraries(true, false), fused = libraries(true, true);
  Matrices m(first, tokens);
  std::vector<Product> all;
  add_layer(all, m, "qkv", tokens, kC, 3 * kC);
  add_layer(all, m, "proj", tokens, kC, kC);
  add_layer(all, m, "fc", tokens, kC, kF);
  add_layer(all, m, "fc_proj", tokens, kF, kC);
  add_layer(all, m, "head", kHeadRows, kC, kV);
  const View s = part(m.x, kF, kF), t = part(m.dy, kF, kF), u = part(m.y, kF, kF);
  if (tokens >= kF) {
    all.push_back({"square (8192, 8192, 8192)", 2.0 * kF * kF * kF,
                   [=](const Exec& ex) { matmul(ex, u, Transpose::no, s, Transpose::yes, t); }});
  }
  fmt::print("{:<44} {:>9} {:>9} {:>9} {:>9} {:>7}\n", "product", "first", "fastest", "fused", "ms",
             "peak");
  for (const Product& p : all) {
    double best = 1e30;
    std::vector<double> rates;
    for (cuda::Libraries* l : {first.exec().libraries, tuned.get(), fused.get()}) {
      Exec ex = first.exec();
      ex.libraries = l;
      const double ms = first.median_ms([&] { p.run(ex); });
      best = std::min(best, ms);
      rates.push_back(p.flops / ms / 1e9);
    }
    fmt::print("{:<44} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.4f} {:>7}\n", p.name, rates[0], rates[1],
               rates[2], best, bench::percent(p.flops / best * 1e3, first.peak().bf16_flops));
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return mixspan::bench::run_bench("bench_cuda_matmul",
                                   [&] { run(argc > 1 ? std::stoll(argv[1]) : 8192); });
}
