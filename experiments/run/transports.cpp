#include "experiments/run/transports.h"

#include "layers/model_config.h"
#include "parallel/exchange_bytes.h"

namespace mixspan {

std::vector<Transport> layer_transports(const RunConfig& c, const SequenceLayout& layout) {
  std::vector<Transport> all;
  for (const AnySpan& span : layer_spans(c.model)) {
    if (c.parallel.transport != "auto") {
      all.push_back(parse_transport(c.parallel.transport));
      continue;
    }
    const HaloPlan plan(span, layout);
    const RowSize row{1, c.model.heads / c.parallel.tp, c.model.head_size()};
    const auto forward = [&](Transport t) {
      return most_exchange_bytes(t, plan, layout, row).forward;
    };
    all.push_back(plan.moves_nothing()                                  ? Transport::local
                  : forward(Transport::halo) < forward(Transport::ring) ? Transport::halo
                                                                        : Transport::ring);
  }
  return all;
}

}  // namespace mixspan
