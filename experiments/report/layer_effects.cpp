#include "experiments/report/layer_effects.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace mixspan {

namespace {

/// Settings and the span of every layer: what a variant is.
using Identity = std::pair<std::string, std::vector<std::string>>;

Identity identity_of(const Findings& study, const Variant& v) {
  Identity identity{v.settings, {}};
  const ModelConfig& model = study.runs[v.runs[0]].config->model;
  const std::vector<AnySpan> spans = layer_spans(model);
  for (std::size_t l = 0; l < spans.size(); ++l) {
    identity.second.push_back(v.full[l] ? "full" : spans[l].str());
  }
  return identity;
}

}  // namespace

std::vector<EffectFamily> layer_effects(const Findings& study) {
  std::map<Identity, std::size_t> known;
  for (std::size_t i = 0; i < study.variants.size(); ++i) {
    if (study.variants[i].loss) known.emplace(identity_of(study, study.variants[i]), i);
  }
  std::map<std::pair<bool, std::size_t>, std::vector<LayerEffect>> families;
  for (std::size_t i = 0; i < study.variants.size(); ++i) {
    if (!study.variants[i].loss) continue;
    Identity identity = identity_of(study, study.variants[i]);
    for (std::size_t l = 0; l < identity.second.size(); ++l) {
      if (study.variants[i].full[l]) continue;
      const std::string own = std::exchange(identity.second[l], "full");
      const auto with = known.find(identity);
      identity.second[l] = own;
      if (with == known.end()) continue;
      const PairedLosses losses =
          paired_losses(study, study.variants[with->second], study.variants[i]);
      if (losses.a.empty()) continue;
      const LayerEffect effect{static_cast<std::int64_t>(l), with->second, i,
                               paired_test(losses.a, losses.b).difference};
      families[{true, i}].push_back(effect);
      families[{false, with->second}].push_back(effect);
    }
  }
  std::vector<EffectFamily> all;
  for (auto& [key, effects] : families) {
    if (effects.size() < 2) continue;
    all.push_back({key.first, key.second, std::move(effects)});
    auto& sorted = all.back().effects;
    std::sort(sorted.begin(), sorted.end(),
              [](const LayerEffect& a, const LayerEffect& b) { return a.layer < b.layer; });
  }
  return all;
}

std::string name_of(const EffectFamily& family, const Findings& study) {
  return fmt::format("{} {}", family.added ? "added to" : "left out of",
                     study.variants[family.base].label);
}

}  // namespace mixspan
