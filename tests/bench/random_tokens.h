// Rows of random tokens for timing: the arithmetic does not care what they say.
#pragma once

#include "core/rng.h"
#include "data/loader.h"

namespace mixspan {

class RandomTokens final : public SampleSource {
 public:
  RandomTokens(std::int64_t T, std::int64_t vocab) : T_(T), vocab_(vocab) {}
  Batch rows(std::int64_t first, std::int64_t count) const override {
    const Shape shape{count, T_};
    Batch b{Tensor(shape, DType::i32),
            Tensor(shape, DType::i32),
            Tensor(shape, DType::i32),
            {},
            count * T_};
    const RandomStream stream(1, "tokens");
    for (std::int64_t i = 0; i < count * T_; ++i) {
      const auto at = static_cast<std::uint64_t>(first * T_ + i);
      const auto V = static_cast<std::uint64_t>(vocab_);
      b.tokens.data<std::int32_t>()[i] = static_cast<std::int32_t>(stream.below(V, at));
      b.targets.data<std::int32_t>()[i] = static_cast<std::int32_t>(stream.below(V, at + 1));
      b.positions.data<std::int32_t>()[i] = static_cast<std::int32_t>(i % T_);
    }
    return b;
  }
  std::int64_t vocab_size() const override { return vocab_; }
  std::int64_t row_tokens() const override { return T_; }
  std::string describe() const override { return "random tokens"; }
  std::uint64_t digest() const override { return 0; }

 private:
  std::int64_t T_, vocab_;
};

}  // namespace mixspan
