#include "experiments/run/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "tests/support/fixture.h"

namespace mixspan {
namespace {

constexpr float kLogits[] = {0.5f, 2.0f, -1.0f, 2.0f, 1.0f};

ConstView logits() { return ConstView(kLogits, DType::f32, {5}); }

// How often each token is drawn in n draws.
std::map<std::int32_t, double> shares(const SamplerOptions& o, std::uint64_t n = 20000) {
  std::map<std::int32_t, double> share;
  for (std::uint64_t i = 0; i < n; ++i)
    share[sample(logits(), o, i)] += 1.0 / static_cast<double>(n);
  return share;
}

TEST(Sampler, TemperatureZeroTakesTheFirstOfTheLikeliest) {
  for (std::uint64_t i = 0; i < 50; ++i) EXPECT_EQ(sample(logits(), {.temperature = 0}, i), 1);
}

TEST(Sampler, SharesFollowTheSoftmax) {
  for (double temperature : {0.5, 1.0, 2.0}) {
    double total = 0;
    for (float x : kLogits) total += std::exp(x / temperature);
    auto share = shares({.temperature = temperature});
    for (std::int32_t id = 0; id < 5; ++id) {
      EXPECT_NEAR(share[id], std::exp(kLogits[id] / temperature) / total, 0.015) << id;
    }
  }
}

TEST(Sampler, TopKAndTopPCutTheTail) {
  EXPECT_EQ(shares({.top_k = 2}).size(), 2u);
  EXPECT_EQ(shares({.top_k = 1}).begin()->first, 1);
  // Probabilities 0.08 0.38 0.02 0.38 0.14: two tokens reach 0.7, three 0.85, four 0.9.
  EXPECT_EQ(shares({.top_p = 0.7}).size(), 2u);
  EXPECT_EQ(shares({.top_p = 0.85}).size(), 3u);
  EXPECT_EQ(shares({.top_p = 0.9}).size(), 4u);
  EXPECT_EQ(shares({.top_p = 1e-9}).size(), 1u);
}

TEST(Sampler, ADrawIsAFunctionOfSeedAndIndex) {
  bool seeds_differ = false;
  for (std::uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(sample(logits(), {.seed = 4}, i), sample(logits(), {.seed = 4}, i));
    seeds_differ |= sample(logits(), {.seed = 4}, i) != sample(logits(), {.seed = 5}, i);
  }
  EXPECT_TRUE(seeds_differ);
}

TEST(Sampler, RefusesWhatMakesNoSense) {
  EXPECT_EQ(test::refusal([] { validate({.temperature = -1}); }),
            "--temperature -1: wanted 0 (the likeliest token) or more");
  EXPECT_EQ(test::refusal([] { validate({.top_k = -2}); }),
            "--top-k -2: wanted 0 (all tokens) or more");
  EXPECT_EQ(test::refusal([] { validate({.top_p = 0}); }),
            "--top-p 0: wanted more than 0 and at most 1");
  const float nan[] = {0, std::nanf("")};
  EXPECT_THROW(sample(ConstView(nan, DType::f32, {2}), {}, 0), Error);
}

}  // namespace
}  // namespace mixspan
