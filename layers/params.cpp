#include "layers/params.h"

#include <algorithm>

#include "core/rng.h"

namespace mixspan {

namespace {
constexpr std::int64_t kLineFloats = 16;  // one cache line
std::size_t index_of(ParamId id) { return static_cast<std::size_t>(id); }
}  // namespace

ParamId ParamList::add(ParamSpec spec) {
  for (const ParamSpec& s : specs_) {
    check(s.name != spec.name, "parameter '{}' is declared twice", s.name);
  }
  specs_.push_back(std::move(spec));
  return static_cast<ParamId>(specs_.size() - 1);
}

std::int64_t ParamList::count() const {
  std::int64_t n = 0;
  for (const ParamSpec& s : specs_) n += s.shape.size();
  return n;
}

Params::Params(ParamList list, Gradients gradients) : list_(std::move(list)) {
  std::int64_t end = 0;
  for (const ParamSpec& s : specs()) {
    offsets_.push_back(end);
    end += (s.shape.size() + kLineFloats - 1) / kLineFloats * kLineFloats;
  }
  weights_ = Tensor({end});
  if (gradients == Gradients::yes) grads_ = Tensor({end});
}

View Params::part_of(View flat, ParamId id) const {
  if (id == ParamId::none || flat.empty()) return View();
  const ParamSpec& s = specs()[index_of(id)];
  const std::int64_t begin = offsets_[index_of(id)];
  return flat.slice(0, begin, begin + s.shape.size()).reshape(s.shape);
}

View Params::weight(ParamId id) const { return part_of(weights_.view(), id); }
View Params::grad(ParamId id) const { return part_of(grads_.view(), id); }

std::vector<NamedView> Params::named(View flat) const {
  std::vector<NamedView> views;
  for (std::size_t i = 0; i < specs().size(); ++i) {
    views.push_back({specs()[i].name, part_of(flat, static_cast<ParamId>(i))});
  }
  return views;
}

std::vector<Params::DecayRange> Params::decay_ranges() const {
  std::vector<DecayRange> ranges;
  for (std::size_t i = 0; i < specs().size(); ++i) {
    const std::int64_t end = i + 1 < offsets_.size() ? offsets_[i + 1] : weights_.size();
    if (!ranges.empty() && ranges.back().decay == specs()[i].decay) {
      ranges.back().end = end;
    } else {
      ranges.push_back({offsets_[i], end, specs()[i].decay});
    }
  }
  return ranges;
}

void Params::initialise(std::uint64_t seed) {
  for (std::size_t p = 0; p < specs().size(); ++p) {
    const ParamSpec& s = specs()[p];
    const View w = weight(static_cast<ParamId>(p));
    float* out = w.data<float>();
    if (s.init == Init::normal) {
      const RandomStream stream(seed, s.name);
      for (std::int64_t i = 0; i < w.size(); ++i) {
        out[i] = static_cast<float>(s.std * stream.normal(static_cast<std::uint64_t>(i)));
      }
    } else {
      std::fill_n(out, w.size(), s.init == Init::ones ? 1.0f : 0.0f);
    }
  }
}

}  // namespace mixspan
