#include "tests/experiments/mesh_runs.h"

#include <memory>

#include "core/rng.h"
#include "data/loader.h"
#include "parallel/thread_ranks.h"
#include "tests/support/fixture.h"

namespace mixspan::test {

namespace {

class RandomRows final : public SampleSource {
 public:
  RandomRows(std::int64_t T, std::int64_t vocab, bool packed)
      : T_(T), vocab_(vocab), packed_(packed) {}
  Batch rows(std::int64_t first, std::int64_t count) const override {
    Batch batch{Tensor({count, T_}, DType::i32), Tensor({count, T_}, DType::i32),
                Tensor({count, T_}, DType::i32),
                packed_ ? Tensor({count, T_}, DType::i32) : Tensor(), 0};
    const RandomStream stream(3, "random rows");
    for (std::int64_t b = 0; b < count; ++b) {
      std::int32_t start = 0;
      for (std::int64_t t = 0; t < T_; ++t) {
        const std::int64_t i = b * T_ + t;
        const std::uint64_t draw = stream.bits(static_cast<std::uint64_t>((first + b) * T_ + t));
        if (packed_ && draw % 13 == 0) start = static_cast<std::int32_t>(t);
        batch.tokens.data<std::int32_t>()[i] = static_cast<std::int32_t>(draw >> 32) & 0x7fff;
        batch.tokens.data<std::int32_t>()[i] %= static_cast<std::int32_t>(vocab_);
        const bool ignored = (draw >> 8) % 5 == 0;
        batch.targets.data<std::int32_t>()[i] =
            ignored ? kIgnoreTarget
                    : static_cast<std::int32_t>((draw >> 16) % static_cast<std::uint64_t>(vocab_));
        batch.num_targets += ignored ? 0 : 1;
        batch.positions.data<std::int32_t>()[i] = static_cast<std::int32_t>(t) - start;
        if (packed_) batch.document_start.data<std::int32_t>()[i] = start;
      }
    }
    return batch;
  }
  std::int64_t vocab_size() const override { return vocab_; }
  std::int64_t row_tokens() const override { return T_; }
  std::string describe() const override { return "random rows"; }
  std::uint64_t digest() const override { return 0; }

 private:
  std::int64_t T_, vocab_;
  bool packed_;
};

}  // namespace

RunConfig mesh_config(MeshShape mesh, std::int64_t heads, std::int64_t rows) {
  RunConfig c;
  c.model.layers = 6;
  c.model.width = 4 * heads;
  c.model.heads = heads;
  c.model.context = 50;
  c.model.vocab = 37;
  c.model.qkv_bias = true;
  c.model.spans = {"full", "sliding:3", "sliding:8", "sliding:20", "block:7", "block-prev:6"};
  c.train.steps = 20;
  c.train.batch_tokens = rows * c.model.context;
  c.train.micro_rows = 1;
  c.train.max_grad_norm = 0;
  c.optimizer.lr = 1e-3;
  c.optimizer.warmup_steps = 0;
  c.parallel.dp = mesh.dp;
  c.parallel.cp = mesh.cp;
  c.parallel.tp = mesh.tp;
  return c;
}

void on_every_rank(const RunConfig& config, bool packed,
                   const std::function<void(Trainer&)>& body) {
  const MeshShape shape = config.parallel.shape();
  const RandomRows data(config.model.context, config.model.vocab, packed);
  run_thread_ranks(shape.size(), {.timeout_seconds = 60}, [&](std::unique_ptr<Communicator> world) {
    const Mesh mesh(std::move(world), shape);
    TestExec exec(1);
    Trainer trainer(exec, config, data, mesh);
    body(trainer);
  });
}

MeshResult run_on_mesh(const RunConfig& config, bool packed, std::int64_t steps) {
  MeshResult result;
  on_every_rank(config, packed, [&](Trainer& trainer) { train_into(result, trainer, steps); });
  return result;
}

}  // namespace mixspan::test
