// One operation at a small shape, for valgrind to count the instructions of (check.sh).
//   count_instructions NAME       runs it
//   count_instructions --list     the names, one a line
//   count_instructions --isa      the instruction set that it runs with
#include <cmath>
#include <functional>
#include <iostream>
#include <map>
#include <string>

#include "core/arena.h"
#include "core/rng.h"
#include "core/thread_pool.h"
#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/gelu.h"
#include "kernels/layer_norm.h"
#include "kernels/reduce.h"
#include "kernels/residual.h"

// Counting begins and ends with this function, so it must be one, have a plain name, and return
// after its work: the empty statement keeps the call from becoming a jump.
extern "C" __attribute__((noipa)) void counted(const std::function<void()>& work) {
  work();
  __asm__ volatile("" ::: "memory");
}

namespace mixspan {
namespace {

Tensor normals(Shape shape) {
  Tensor x(shape);
  const RandomStream stream(1, "instructions");
  for (std::int64_t i = 0; i < x.size(); ++i) {
    x.data<float>()[i] = static_cast<float>(stream.normal(static_cast<std::uint64_t>(i)));
  }
  return x;
}

Tensor indices(std::int64_t n, std::int64_t limit) {
  Tensor x({n}, DType::i32);
  for (std::int64_t i = 0; i < n; ++i) {
    x.data<std::int32_t>()[i] = static_cast<std::int32_t>(i * 31 % limit);
  }
  return x;
}

// Each prepares its tensors, then has its work counted. Products by the BLAS are left out: how many
// instructions those take is not for this project to guard.
using Operations = std::map<std::string, std::function<void(const Exec&)>>;

void attention(const Exec& ex, const AnySpan& span, bool backward) {
  const Shape shape{1, 320, 2, 64};
  const Tensor q = normals(shape), k = normals(shape), v = normals(shape), do_ = normals(shape);
  Tensor o(shape), lse({1, 2, 320}), dq(shape), dk(shape), dv(shape);
  const AttentionRule rule{span, 0.125f, {}};
  const auto forward = [&] { attention_forward(ex, o, lse, q, k, v, rule); };
  if (!backward) return counted(forward);
  forward();
  counted([&] { attention_backward(ex, dq, dk, dv, do_, q, k, v, o, lse, rule); });
}

void layer_norm(const Exec& ex, bool backward) {
  const Tensor x = normals({64, 384}), gain = normals({384}), bias = normals({384}),
               dy = normals({64, 384});
  Tensor y({64, 384}), mean({64}), rstd({64}), dx({64, 384}), dgain({384}), dbias({384});
  const auto forward = [&] { layer_norm_forward(ex, y, mean, rstd, x, gain, bias, 1e-5f); };
  if (!backward) return counted(forward);
  forward();
  counted([&] { layer_norm_backward(ex, dx, dgain, dbias, dy, x, gain, mean, rstd, DxMode::add); });
}

Operations operations() {
  Operations all;
  for (const auto& [name, span] : {std::pair<const char*, AnySpan>{"full", FullSpan{}},
                                   {"sliding_64", SlidingSpan{64}},
                                   {"block_prev_64", BlockSpan{64, 1}}}) {
    for (const bool backward : {false, true}) {
      all[std::string("attention_") + (backward ? "backward_" : "forward_") + name] =
          [span = span, backward](const Exec& ex) { attention(ex, span, backward); };
    }
  }
  all["layer_norm_forward"] = [](const Exec& ex) { layer_norm(ex, false); };
  all["layer_norm_backward"] = [](const Exec& ex) { layer_norm(ex, true); };
  all["gelu_forward"] = [](const Exec& ex) {
    const Tensor x = normals({32768});
    Tensor y({32768});
    counted([&] { gelu_forward(ex, y, x); });
  };
  all["gelu_backward"] = [](const Exec& ex) {
    const Tensor x = normals({32768}), dy = normals({32768});
    Tensor dx({32768});
    counted([&] { gelu_backward(ex, dx, dy, x); });
  };
  all["bias_residual"] = [](const Exec& ex) {
    const Tensor x = normals({64, 384}), bias = normals({384}), residual = normals({64, 384});
    Tensor y({64, 384});
    counted([&] { bias_residual(ex, y, x, bias, residual); });
  };
  all["cross_entropy_forward_backward"] = [](const Exec& ex) {
    Tensor logits = normals({32, 1000}), losses({32});
    const Tensor targets = indices(32, 1000);
    counted([&] { cross_entropy_forward_backward(ex, losses, logits, targets, 1.0f); });
  };
  all["embedding_backward"] = [](const Exec& ex) {
    const Tensor dx = normals({64, 384}), tokens = indices(64, 100), positions = indices(64, 64);
    Tensor dwte({100, 384}), dwpe({64, 384});
    counted([&] { embedding_backward(ex, dwte, dwpe, dx, tokens, positions); });
  };
  all["adamw"] = [](const Exec& ex) {
    Tensor w = normals({32768}), m = normals({32768}), v({32768});
    const Tensor g = normals({32768});
    counted([&] { adamw(ex, w, m, v, g, {1e-3, 0.9, 0.95, 1e-8, 0.1, 3, 0.5}); });
  };
  all["sum_of_squares"] = [](const Exec& ex) {
    const Tensor x = normals({32768});
    counted([&] {
      if (!std::isfinite(sum_of_squares(ex, x))) std::cerr << "not finite\n";
    });
  };
  return all;
}

int run(const std::string& name) {
  ThreadPool threads(1);
  Arena scratch("scratch");
  const Exec ex{.device = {}, .threads = threads, .scratch = scratch};
  const Operations all = operations();
  if (name == "--isa") {
    std::cout << name_of(ex.isa) << "\n";
  } else if (name == "--list") {
    for (const auto& [each, run] : all) std::cout << each << "\n";
  } else if (const auto found = all.find(name); found != all.end()) {
    found->second(ex);
  } else {
    std::cerr << "no operation \"" << name << "\"; --list says which there are\n";
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace mixspan

int main(int argc, char** argv) { return mixspan::run(argc == 2 ? argv[1] : ""); }
