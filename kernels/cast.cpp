#include "kernels/cast.h"

#include "core/trace.h"
#include "kernels/chunks.h"
#include "kernels/cuda/cast.h"

namespace mixspan {

void cast(const Exec& exec, View to, ConstView from) {
  const TraceRange range(exec.tracer, "cast");
  check_shape("cast: to", to, from.shape());
  check_contiguous("cast: to", to);
  check_contiguous("cast: from", from);
  if (exec.device.is_cuda()) return cuda::cast(exec, to, from);
  dispatch<float, bf16>("cast to", to.dtype(), [&]<class To>() {
    dispatch<float, bf16>("cast from", from.dtype(), [&]<class From>() {
      To* out = to.data<To>();
      const From* in = from.data<From>();
      for_each_chunk(exec.threads, to.size(), kChunk, [&](auto begin, auto end, auto) {
        for (std::int64_t i = begin; i < end; ++i) out[i] = To(static_cast<float>(in[i]));
      });
    });
  });
}

}  // namespace mixspan
