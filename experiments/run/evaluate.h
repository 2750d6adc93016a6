// The loss of a model on rows it has not seen.
#pragma once

#include "core/exec.h"
#include "data/loader.h"
#include "experiments/run/metrics.h"
#include "layers/model.h"
#include "parallel/mesh.h"
#include "parallel/sequence_layout.h"

namespace mixspan {

/// Over all rows of `source`; losses also by equal `buckets` of the position in the text. The
/// caller fills in step, tokens and data. Throws Error when a loss is not finite.
EvalMetrics evaluate(const Exec&, const Model&, const EvaluationSource& source,
                     std::int64_t buckets);
/// The same by all ranks of a mesh together; all of them get the result.
EvalMetrics evaluate(const Exec&, const Model&, const EvaluationSource& source,
                     std::int64_t buckets, const Mesh& mesh, LayoutKind layout);

}  // namespace mixspan
