// A tensor and the name the world knows it by.
#pragma once

#include <string>

#include "core/tensor.h"

namespace mixspan {

struct NamedView {
  std::string name;
  View view;
};

struct NamedConstView {
  std::string name;
  ConstView view;
};

}  // namespace mixspan
