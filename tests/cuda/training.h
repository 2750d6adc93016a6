// What tests of training on a device share: the same small run there and on the CPU.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "experiments/run/trainer.h"
#include "tests/cuda/device_test.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan::test {

/// Two layers, one full and one of `span`; heads of 8; 24 positions, which are no multiple of any
/// tile.
inline RunConfig small_run(const std::string& span = "sliding:5") {
  RunConfig c;
  c.model.layers = 2;
  c.model.width = 16;
  c.model.heads = 2;
  c.model.mlp_width = 32;
  c.model.context = 24;
  c.model.span = span;
  c.model.full_layers = "bottom:1";
  c.data.train = "synthetic:copy:distance=7";
  c.train.steps = 20;
  c.train.batch_tokens = 4 * 24;
  c.train.micro_rows = 2;
  c.optimizer.lr = 1e-2;
  return c;
}

enum class Rows { as_they_are, of_documents, always_the_first };

/// Rows in which every third token or so begins a document; or those of the first step again.
class ChangedRows final : public SampleSource {
 public:
  ChangedRows(std::unique_ptr<SampleSource> rows, Rows kind)
      : rows_(std::move(rows)), kind_(kind) {}
  Batch rows(std::int64_t first, std::int64_t count) const override {
    Batch batch = rows_->rows(kind_ == Rows::always_the_first ? 0 : first, count);
    if (kind_ != Rows::of_documents) return batch;
    const std::int64_t T = row_tokens();
    batch.document_start = Tensor({count, T}, DType::i32);
    for (std::int64_t i = 0; i < count * T; ++i) {
      const std::int64_t t = i % T, start = t - t % (3 + (first + i / T) % 4);
      batch.document_start.data<std::int32_t>()[i] = static_cast<std::int32_t>(start);
      batch.positions.data<std::int32_t>()[i] = static_cast<std::int32_t>(t - start);
    }
    return batch;
  }
  std::int64_t vocab_size() const override { return rows_->vocab_size(); }
  std::int64_t row_tokens() const override { return rows_->row_tokens(); }
  std::string describe() const override { return rows_->describe(); }
  std::uint64_t digest() const override { return rows_->digest(); }

 private:
  std::unique_ptr<SampleSource> rows_;
  Rows kind_;
};

/// A trainer and all it needs but the Exec.
struct SmallRun {
  SmallRun(const Exec& ex, RunConfig c, Rows rows = Rows::as_they_are)
      : config(std::move(c)), data(open_training(config.data, config.model.context, 1)) {
    config.device = ex.device.is_cuda() ? "cuda" : "cpu";
    config.model.vocab = data->vocab_size();
    if (rows != Rows::as_they_are) data = std::make_unique<ChangedRows>(std::move(data), rows);
    trainer = std::make_unique<Trainer>(ex, config, *data);
  }
  /// Everything that a checkpoint holds, by name.
  std::map<std::string, Tensor> state() const {
    std::map<std::string, Tensor> all;
    trainer->collect_state(
        [&](const std::string& name, const ConstView& tensor) { all[name] = copy_of(tensor); });
    return all;
  }

  RunConfig config;
  std::unique_ptr<SampleSource> data;
  std::unique_ptr<Trainer> trainer;
};

}  // namespace mixspan::test
