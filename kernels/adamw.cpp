#include "kernels/adamw.h"

namespace mixspan {

void adamw(const Exec&, View w, View m, View v, ConstView g, const AdamWStep& step) {
  oracle::adamw(w, m, v, g, step);
}

}  // namespace mixspan
