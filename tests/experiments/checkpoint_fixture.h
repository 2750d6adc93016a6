// What the tests of checkpoints share: a training state that is a function of its step.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "experiments/run/checkpoint.h"
#include "tests/support/fixture.h"

namespace mixspan::test {

class CheckpointTest : public ::testing::Test {
 protected:
  // Tensors of several dtypes and sizes, one of them of more than one HDF5 chunk when `large`.
  struct State {
    explicit State(std::int64_t step, bool large = false)
        : weight(random_tensor({large ? 700 : 48, 512}, static_cast<std::uint64_t>(step))),
          bias(random_tensor({33}, static_cast<std::uint64_t>(step) + 1000)),
          adam_m(random_tensor({48, 512}, static_cast<std::uint64_t>(step) + 2000)),
          counts({5}, DType::i64),
          half({7, 3}, DType::bf16) {
      for (int i = 0; i < 5; ++i) counts.data<std::int64_t>()[i] = step + i;
      for (int i = 0; i < 21; ++i) half.data<bf16>()[i] = bf16(static_cast<float>(step + i));
    }
    std::vector<NamedConstView> views() const {
      return {{"model/wte.weight", weight},
              {"model/h.0.bias", bias},
              {"adam_m/wte.weight", adam_m},
              {"counts", counts},
              {"half", half}};
    }
    Tensor weight, bias, adam_m, counts, half;
  };

  static CheckpointMeta meta(std::int64_t step) {
    return {.step = step,
            .tokens_seen = step * 1024,
            .config_toml = "[train]\nsteps = 100\n",
            .tokenizer_json = "{\"model\": \"byte\"}",
            .build = "test"};
  }

  std::filesystem::path save(std::int64_t step, int keep = 3) const {
    return save_checkpoint(folder, meta(step), State(step).views(), keep);
  }

  std::vector<std::string> entries() const {
    std::vector<std::string> names;
    for (const auto& e : std::filesystem::directory_iterator(folder)) {
      names.push_back(e.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  const ScratchFolder scratch{memory_folder()};
  const std::filesystem::path folder = scratch / "run/checkpoints";
};

}  // namespace mixspan::test
