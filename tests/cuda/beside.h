// What runs beside the threads of an emulated device comes late, or at once
// (tests/emulation/sm90.h).
#pragma once

#include <functional>

namespace mixspan::test {

/// Calls body() under both, with a note in every failure, and expects that no block ended with work
/// that nobody waited for; on a real device once.
void late_and_early(const std::function<void()>& body);

}  // namespace mixspan::test
