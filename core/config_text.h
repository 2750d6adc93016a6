// How a configuration is written down.
#pragma once

#include <string>

#include "core/config.h"

namespace mixspan {

/// What the field's struct holds now.
ConfigValue current_value(const ConfigSchema::Field& field);

/// What the rules allow, e.g. ">= 1"; "" where the type is all.
std::string allowed(const FieldRules& rules);

/// Type and rules in words, e.g. "a whole number >= 1".
std::string wanted(const ConfigSchema::Field& field);

}  // namespace mixspan
