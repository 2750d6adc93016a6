#include "layers/params.h"

#include <algorithm>

#include "core/copy.h"
#include "core/rng.h"
#include "kernels/cast.h"
#include "kernels/chunks.h"

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

Params::Params(ParamList list, Gradients gradients, TpPart part, ParamStorage storage)
    : list_(std::move(list)), part_(part), storage_(storage) {
  std::int64_t end = 0;
  for (const ParamSpec& s : specs()) {
    offsets_.push_back(end);
    const std::int64_t held = part_shape(s.shape, s.split, part).size();
    end += (held + kLineFloats - 1) / kLineFloats * kLineFloats;
  }
  offsets_.push_back(end);
  weights_ = Tensor({end}, DType::f32, storage.device);
  if (gradients == Gradients::yes) grads_ = Tensor({end}, DType::f32, storage.device);
  if (storage.dtype != DType::f32) copies_ = Tensor({end}, storage.dtype, storage.device);
}

Range Params::flat_range(ParamId first, ParamId last) const {
  return {offsets_[index_of(first)], offsets_[index_of(last)]};
}

template <class AnyView>
AnyView Params::piece_of(AnyView flat, ParamId id) const {
  if (id == ParamId::none || flat.empty()) return AnyView();
  const ParamSpec& s = specs()[index_of(id)];
  const Shape shape = part_shape(s.shape, s.split, part_);
  const std::int64_t begin = offsets_[index_of(id)];
  return flat.slice(0, begin, begin + shape.size()).reshape(shape);
}

View Params::part_of(View flat, ParamId id) const { return piece_of(flat, id); }
ConstView Params::part_of(ConstView flat, ParamId id) const { return piece_of(flat, id); }

View Params::weight(ParamId id) const {
  return part_of(copies_.view().empty() ? weights_.view() : copies_.view(), id);
}
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
    const std::int64_t end = offsets_[i + 1];
    if (!ranges.empty() && ranges.back().decay == specs()[i].decay) {
      ranges.back().end = end;
    } else {
      ranges.push_back({offsets_[i], end, specs()[i].decay});
    }
  }
  return ranges;
}

std::vector<Range> Params::counted() const {
  std::vector<Range> ranges;
  for (std::size_t i = 0; i < specs().size(); ++i) {
    if (specs()[i].split.dim < 0 && part_.index != 0) continue;
    ranges.push_back({offsets_[i], offsets_[i + 1]});
  }
  return joined(ranges);
}

void Params::initialise(const Exec& ex, std::uint64_t seed) {
  for (std::size_t p = 0; p < specs().size(); ++p) {
    const ParamSpec& s = specs()[p];
    Tensor drawn(part_shape(s.shape, s.split, part_));
    float* out = drawn.data<float>();
    if (s.init == Init::normal) {
      const RandomStream stream(seed, s.name);
      for_each_run(s.shape, s.split, part_, [&](auto whole, auto held, auto length) {
        for_each_chunk(ex.threads, length, kChunk, [&](auto begin, auto end, auto) {
          for (std::int64_t i = begin; i < end; ++i) {
            out[held + i] =
                static_cast<float>(s.std * stream.normal(static_cast<std::uint64_t>(whole + i)));
          }
        });
      });
    } else {
      std::fill_n(out, drawn.size(), s.init == Init::ones ? 1.0f : 0.0f);
    }
    write(ex, static_cast<ParamId>(p), drawn);
  }
}

void Params::write(const Exec& ex, ParamId id, ConstView host) {
  const View w = part_of(weights_.view(), id);
  copy(ex, w, host);
  if (!copies_.view().empty()) cast(ex, weight(id), w);
}

void Params::round_copies(const Exec& ex) {
  if (!copies_.view().empty()) cast(ex, copies_, weights_);
}

}  // namespace mixspan
