// Backward of what the layers do between ranks is the adjoint of forward. TensorParallel and the
// embeddings in exact integers; attention, which is linear in the values, in every transport.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/matmul.h"
#include "layers/model.h"
#include "tests/layers/split_attention.h"
#include "tests/parallel/adjoint.h"
#include "tests/support/close.h"

namespace mixspan {
namespace {

using namespace test;

constexpr std::int64_t C = 6;
constexpr std::int64_t kUnevenRows[] = {7, 9, 2};  // the last: fewer than ranks

class AdjointOverTp : public testing::TestWithParam<std::tuple<int, bool>> {
 protected:
  using Body = std::function<Products(const TensorParallel&, const Exec&)>;
  static void expect_adjoint(const Body& body) {
    const auto [ranks, sequence_parallel] = GetParam();
    const Products p = sum_over_ranks(ranks, [&](Communicator& comm) {
      TestExec test(1);
      return body(TensorParallel(comm, std::get<1>(GetParam())), test);
    });
    EXPECT_EQ(p.forward, p.backward);
    EXPECT_NE(p.forward, 0);
  }
};
INSTANTIATE_TEST_SUITE_P(Ranks, AdjointOverTp,
                         testing::Combine(testing::Values(1, 2, 3, 4), testing::Bool()),
                         [](const auto& instance) {
                           return std::to_string(std::get<0>(instance.param)) +
                                  (std::get<1>(instance.param) ? "WithRowsSplit" : "");
                         });

// What lies outside the regions: a share of the rows, or all of them on every rank alike.
Tensor outside(const TensorParallel& tp, std::int64_t R, int which) {
  const std::uint64_t of = tp.splits_rows() ? seed(tp.comm(), which) : seed(tp.comm(), which) % 10;
  return integers({tp.rows(R).size(), C}, of);
}
// The inner product of two such, once.
double dot_outside(const TensorParallel& tp, const ConstView& x, const ConstView& y) {
  return tp.splits_rows() || tp.part().index == 0 ? dot(x, y) : 0;
}

TEST_P(AdjointOverTp, GatherAndReduce) {
  for (const std::int64_t R : kUnevenRows) {
    expect_adjoint([R](const TensorParallel& tp, const Exec& ex) {
      const Arena::Scope scope(ex.scratch);
      const Tensor x = outside(tp, R, 0), y = integers({R, C}, seed(tp.comm(), 1));
      const ConstView all = tp.gather(ex, kCall, x, R);
      Products p{dot(all, y), 0};
      const View sum = ex.scratch.allocate("sum", {tp.rows(R).size(), C});
      const View partial = tp.partial(ex, sum, R);
      std::copy_n(y.data<float>(), y.size(), partial.data<float>());
      tp.reduce(ex, kCall, sum, partial);
      p.backward = dot_outside(tp, x, sum);
      return p;
    });
  }
}

TEST_P(AdjointOverTp, LeavingARegionAndGather) {
  for (const std::int64_t R : kUnevenRows) {
    expect_adjoint([R](const TensorParallel& tp, const Exec& ex) {
      const Arena::Scope scope(ex.scratch);
      const std::int64_t columns = 5;
      const Tensor x = integers({R, columns}, seed(tp.comm(), 0));
      const Tensor w = integers({C, columns}, seed(tp.comm(), 1)), y = outside(tp, R, 2);
      const Tensor no_bias({C}), no_residual(y.shape());
      Tensor out = poisoned_tensor(y.shape()), dx = poisoned_tensor(x.shape()), dw(w.shape());
      leave_forward(ex, tp, kCall, out, x, w, no_bias, no_residual);
      linear_backward(ex, dx, dw, {}, tp.gather(ex, kCall, y, R), x, w);
      return Products{dot_outside(tp, out, y), dot(x, dx)};
    });
  }
}

ModelConfig one_layer() {
  ModelConfig c;
  c.layers = 1;
  c.width = 12;
  c.heads = 12;
  c.context = 8;
  c.vocab = 23;
  c.span = "full";
  c.full_layers = "none";
  return c;
}

Tensor tokens_of(std::int64_t B, std::int64_t T, std::int64_t modulus) {
  Tensor t({B, T}, DType::i32);
  for (std::int64_t i = 0; i < t.size(); ++i) {
    t.data<std::int32_t>()[i] = static_cast<std::int32_t>(i * i % modulus);
  }
  return t;
}

View named(const Params& params, View flat, const std::string& name) {
  for (const NamedView& p : params.named(flat)) {
    if (p.name == name) return p.view;
  }
  fail("no parameter {}", name);
}

// A model whose blocks' weights are zero hands the embeddings through, and their gradients.
TEST_P(AdjointOverTp, EmbeddingsOfAVocabularyInShards) {
  expect_adjoint([](const TensorParallel& tp, const Exec& ex) {
    const ModelConfig c = one_layer();
    Model model(c, Params::Gradients::yes, {tp, {}});
    Params& params = model.params();
    fill_zero(params.weights());
    fill_zero(params.grads());
    const View wte = named(params, params.weights(), "wte.weight");
    const View wpe = named(params, params.weights(), "wpe.weight");
    take_part(wte, integers({c.vocab, c.width}, 1), {0}, tp.part());
    take_part(wpe, integers({c.context, c.width}, 2), {}, tp.part());

    const Tensor tokens = tokens_of(2, 5, c.vocab), positions = tokens_of(2, 5, c.context);
    const ModelInput in{tokens, positions, {}};
    Arena arena("activations");
    Activations kept(arena, Recompute::none);
    const View x = model.forward(ex, in, kept);
    Tensor y = integers(x.shape(), tp.splits_rows() ? seed(tp.comm(), 3) : 3);
    Products p{dot_outside(tp, x, y), 0};
    model.backward(ex, y, in, kept);
    p.backward = dot(wte, named(params, params.grads(), "wte.weight"));
    if (tp.part().index == 0) p.backward += dot(wpe, named(params, params.grads(), "wpe.weight"));
    return p;
  });
}

// o is linear in the values, and their gradient is its adjoint. With queries of zeros all visible
// keys weigh the same, so that nothing but the movement of rows is left.
TEST(AdjointOverCp, AttentionIsLinearInTheValues) {
  for (const int cp : {1, 2, 3, 5}) {
    for (const bool same_weights : {true, false}) {
      AttentionTensors t({2, 67, 67, 5, 5, 4});
      if (same_weights) fill_zero(t.q);
      const Tensor start = documents(2, 67, {31, 9, 20});
      for (const LayoutKind kind : {LayoutKind::contiguous, LayoutKind::zigzag}) {
        for (const AnySpan& span : {AnySpan(FullSpan{}), AnySpan(SlidingSpan{11}),
                                    AnySpan(SlidingSpan{40}), AnySpan(BlockSpan{12, 1})}) {
          for (const Transport transport :
               {Transport::halo, Transport::ring, Transport::all_to_all, Transport::gather}) {
            const SplitResult r =
                run_split(t, SequenceLayout(kind, 67, cp), {span, transport, start});
            const double size = std::sqrt(dot(r.o, r.o) * dot(t.do_, t.do_));
            EXPECT_NEAR(dot(r.o, t.do_), dot(t.v, r.dv), kReduction.l2 * size)
                << str(transport) << " " << str(kind) << " " << span.str() << " on " << cp;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace mixspan
