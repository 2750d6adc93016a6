#include "experiments/run/step_parts.h"

#include <array>
#include <utility>

namespace mixspan {

namespace {

struct Names {
  std::string_view key, title;
};
constexpr std::array<Names, 9> kNames{{{"gemm", "matrix products"},
                                       {"full_attention", "full attention"},
                                       {"short_attention", "short-span attention"},
                                       {"elementwise", "norms and elementwise"},
                                       {"loss", "loss"},
                                       {"optimizer", "optimizer"},
                                       {"communication", "communication"},
                                       {"data", "data"},
                                       {"other", "other and idle"}}};

Names names_of(Part part) { return kNames[static_cast<std::size_t>(part)]; }

constexpr std::array<std::pair<std::string_view, Part>, 18> kRanges{
    {{"matmul", Part::gemm},
     {"attention full", Part::full_attention},
     {"layer norm", Part::elementwise},
     {"gelu", Part::elementwise},
     {"embedding", Part::elementwise},
     {"residual", Part::elementwise},
     {"merge", Part::elementwise},
     {"rows", Part::elementwise},
     {"copy", Part::elementwise},
     {"cast", Part::elementwise},
     {"zero", Part::elementwise},
     {"add", Part::elementwise},
     {"cross entropy", Part::loss},
     {"sum", Part::loss},
     {"sum of squares", Part::optimizer},
     {"adamw", Part::optimizer},
     {"data", Part::data},
     {"attention", Part::other}}};  // of a split sequence: holds those of its stretches

}  // namespace

const std::vector<Part>& named_parts() {
  static const std::vector<Part> all = [] {
    std::vector<Part> parts;
    for (int i = 0; i < static_cast<int>(Part::other); ++i) parts.push_back(static_cast<Part>(i));
    return parts;
  }();
  return all;
}

std::string_view title(Part part) { return names_of(part).title; }
std::string_view key(Part part) { return names_of(part).key; }

Part part_of(std::string_view range) {
  for (const auto& [name, part] : kRanges) {
    if (range == name) return part;
  }
  if (range.starts_with("attention ")) return Part::short_attention;
  if (range.starts_with("wait ")) return Part::communication;
  return Part::other;
}

}  // namespace mixspan
