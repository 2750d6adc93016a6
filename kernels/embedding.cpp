#include "kernels/embedding.h"

namespace mixspan {

void embedding_forward(const Exec&, View x, ConstView tokens, ConstView positions, ConstView wte,
                       ConstView wpe) {
  oracle::embedding_forward(x, tokens, positions, wte, wpe);
}
void embedding_backward(const Exec&, View dwte, View dwpe, ConstView dx, ConstView tokens,
                        ConstView positions) {
  oracle::embedding_backward(dwte, dwpe, dx, tokens, positions);
}

}  // namespace mixspan
