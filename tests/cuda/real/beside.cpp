#include "tests/cuda/beside.h"

namespace mixspan::test {

void late_and_early(const std::function<void()>& body) { body(); }

}  // namespace mixspan::test
