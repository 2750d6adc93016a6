#include "experiments/run/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/error.h"
#include "core/rng.h"

namespace mixspan {

void validate(const SamplerOptions& o) {
  require(std::isfinite(o.temperature) && o.temperature >= 0,
          "--temperature {}: wanted 0 (the likeliest token) or more", o.temperature);
  require(o.top_k >= 0, "--top-k {}: wanted 0 (all tokens) or more", o.top_k);
  require(o.top_p > 0 && o.top_p <= 1, "--top-p {}: wanted more than 0 and at most 1", o.top_p);
}

std::int32_t sample(ConstView logits, const SamplerOptions& o, std::uint64_t index) {
  const float* x = logits.data<float>();
  const std::int64_t V = logits.size();
  check(std::none_of(x, x + V, [](float value) { return std::isnan(value); }),
        "sample: the logits hold a NaN");
  if (o.temperature == 0) return static_cast<std::int32_t>(std::max_element(x, x + V) - x);

  std::vector<std::int32_t> ids(static_cast<std::size_t>(V));
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(), [x](auto a, auto b) { return x[a] > x[b]; });
  if (o.top_k > 0 && o.top_k < V) ids.resize(static_cast<std::size_t>(o.top_k));

  std::vector<double> weight;
  for (std::int32_t id : ids) {
    weight.push_back(
        std::exp((static_cast<double>(x[id]) - static_cast<double>(x[ids[0]])) / o.temperature));
  }
  double total = std::accumulate(weight.begin(), weight.end(), 0.0);
  if (o.top_p < 1) {
    double reached = 0;
    std::size_t n = 0;
    while (n < weight.size() && reached < o.top_p * total) reached += weight[n++];
    weight.resize(n);
    total = reached;
  }
  double left = RandomStream(o.seed, "sample").uniform(index) * total;
  for (std::size_t i = 0; i < weight.size(); ++i) {
    left -= weight[i];
    if (left < 0) return ids[i];
  }
  return ids[weight.size() - 1];
}

}  // namespace mixspan
