#include "layers/param_split.h"

#include <algorithm>

#include "parallel/shares.h"

namespace mixspan {

namespace {

// The rank's share of one group.
Range group_share(const Shape& whole, const ParamSplit& split, TpPart part) {
  const std::int64_t n = whole[split.dim];
  check(n % split.groups == 0, "a dim of {} does not stack {} equal parts", n, split.groups);
  return share(n / split.groups, part.count, part.index);
}

}  // namespace

Shape part_shape(const Shape& whole, const ParamSplit& split, TpPart part) {
  if (split.dim < 0 || part.count == 1) return whole;
  const std::int64_t held = group_share(whole, split, part).size() * split.groups;
  if (whole.rank() == 1) return {held};
  return split.dim == 0 ? Shape{held, whole[1]} : Shape{whole[0], held};
}

void for_each_run(const Shape& whole, const ParamSplit& split, TpPart part,
                  const std::function<void(std::int64_t, std::int64_t, std::int64_t)>& run) {
  if (split.dim < 0 || part.count == 1) return run(0, 0, whole.size());
  check(whole.rank() <= 2 && split.dim < whole.rank(), "dim {} of {} cannot be split", split.dim,
        whole.str());
  const Range held = group_share(whole, split, part);
  const std::int64_t group = whole[split.dim] / split.groups;
  // Elements are (outer, groups, group, inner) in the whole, (outer, groups, held, inner) in the
  // part.
  const std::int64_t outer = split.dim == 0 ? 1 : whole[0];
  const std::int64_t inner = split.dim == 0 && whole.rank() == 2 ? whole[1] : 1;
  for (std::int64_t i = 0; i < outer * split.groups; ++i) {
    run((i * group + held.begin) * inner, i * held.size() * inner, held.size() * inner);
  }
}

void take_part(View part, ConstView whole, const ParamSplit& split, TpPart which) {
  check_shape("take_part: part", part, part_shape(whole.shape(), split, which));
  for_each_run(whole.shape(), split, which, [&](auto from, auto to, auto length) {
    std::copy_n(whole.data<float>() + from, length, part.data<float>() + to);
  });
}

void put_part(View whole, ConstView part, const ParamSplit& split, TpPart which) {
  check_shape("put_part: part", part, part_shape(whole.shape(), split, which));
  for_each_run(whole.shape(), split, which, [&](auto to, auto from, auto length) {
    std::copy_n(part.data<float>() + from, length, whole.data<float>() + to);
  });
}

}  // namespace mixspan
