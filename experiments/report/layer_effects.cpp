#include "experiments/report/layer_effects.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace mixspan {

namespace {

/// Settings and the span of every layer: what a variant is.
using Identity = std::pair<std::string, std::vector<std::string>>;

/// Whether a layer has several effects: left out in favour of one span, and of another.
bool has_layer_twice(const std::vector<LayerEffect>& sorted) {
  return std::adjacent_find(sorted.begin(), sorted.end(),
                            [](const LayerEffect& a, const LayerEffect& b) {
                              return a.layer == b.layer;
                            }) != sorted.end();
}

}  // namespace

std::vector<EffectFamily> layer_effects(const Findings& study) {
  std::map<Identity, std::size_t> known;
  for (std::size_t i = 0; i < study.variants.size(); ++i) {
    const Variant& v = study.variants[i];
    if (v.loss && v.same_as == i) known.emplace(Identity{v.settings, v.spans}, i);
  }
  std::map<std::pair<bool, std::size_t>, std::vector<LayerEffect>> found;
  for (const auto& [own_identity, i] : known) {
    Identity identity = own_identity;
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
      found[{true, i}].push_back(effect);
      found[{false, with->second}].push_back(effect);
    }
  }
  std::vector<EffectFamily> all;
  for (auto& [key, effects] : found) {
    std::stable_sort(effects.begin(), effects.end(),
                     [](const auto& a, const auto& b) { return a.layer < b.layer; });
    const bool split = has_layer_twice(effects);
    std::map<std::string, EffectFamily> families;
    for (const LayerEffect& e : effects) {
      const std::string& span = study.variants[e.without].spans[static_cast<std::size_t>(e.layer)];
      EffectFamily& family = families[split ? span : ""];
      family.added = key.first;
      family.base = key.second;
      if (split) family.span = span;
      family.effects.push_back(e);
    }
    for (auto& [span, family] : families) {
      if (family.effects.size() >= 2) all.push_back(std::move(family));
    }
  }
  return all;
}

std::string name_of(const EffectFamily& family, const Findings& study) {
  return fmt::format("{} {}{}", family.added ? "added to" : "left out of",
                     study.variants[family.base].label,
                     family.span.empty() ? "" : " for " + family.span);
}

}  // namespace mixspan
