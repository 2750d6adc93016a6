// Shapes, types and kernels of attention on a device, before any launch.
#include "kernels/cuda/attention.h"

#include <limits>

#include "core/cuda/cuda_check.h"
#include "kernels/cuda/attention_arguments.cuh"
#include "kernels/cuda/attention_choice.h"

namespace mixspan::cuda {

namespace {

struct SpanVisitor {
  DeviceSpan operator()(const FullSpan&) const { return {}; }
  DeviceSpan operator()(const SlidingSpan& s) const {
    return {DeviceSpan::Kind::sliding, s.window, 0};
  }
  DeviceSpan operator()(const BlockSpan& s) const {
    return {DeviceSpan::Kind::block, s.block, s.previous};
  }
};

AttentionKernel chosen(const Exec& ex, const ConstView& q, float scale,
                       std::initializer_list<ConstView> rows) {
  AttentionNeeds needs{.dtype = q.dtype(), .head_size = q.dim(3), .scale = scale};
  check(cudaDeviceGetAttribute(&needs.major, cudaDevAttrComputeCapabilityMajor, ex.device.index));
  check(cudaDeviceGetAttribute(&needs.minor, cudaDevAttrComputeCapabilityMinor, ex.device.index));
  int shared_bytes = 0;
  check(cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin,
                               ex.device.index));
  needs.shared_bytes = static_cast<std::size_t>(shared_bytes);
  for (const ConstView& x : rows) {
    check_dtype("attention on a device", x, q.dtype());
    needs.aligned &= rows_are_aligned(x);
  }
  return chosen_attention(ex.attention, needs);
}

void check_lse(const ConstView& lse) {
  check_dtype("attention lse", lse, DType::f32);
  mixspan::check(lse.stride(2) == 1 || lse.dim(2) <= 1,
                 "attention lse: its last dim must be contiguous");
}

}  // namespace

DeviceSpan device_span(const AnySpan& span) { return span.visit(SpanVisitor{}); }

AttentionSizes attention_sizes(const ConstView& q, const ConstView& k, const AttentionRule& rule) {
  // Tiles may reach past the last row, so the largest numbers are left free.
  constexpr std::int64_t most_rows = std::numeric_limits<std::int32_t>::max() / 2;
  mixspan::check(q.dim(1) <= most_rows && k.dim(1) <= most_rows && q.dim(0) <= 65535 &&
                     q.dim(2) <= 65535 && q.dim(3) <= 65535,
                 "attention on a device: q {} or k {} is too large", q.shape().str(),
                 k.shape().str());
  const auto narrow = [](std::int64_t n) { return static_cast<std::int32_t>(n); };
  AttentionSizes s{};
  s.B = narrow(q.dim(0));
  s.Tq = narrow(q.dim(1));
  s.Tk = narrow(k.dim(1));
  s.N = narrow(q.dim(2));
  s.K = narrow(k.dim(2));
  s.H = narrow(q.dim(3));
  s.group = s.N / s.K;
  s.first_query = rule.first_query;
  s.first_key = rule.first_key;
  s.span = device_span(rule.span);
  s.scale = rule.scale;
  if (!rule.document_start.empty()) {
    s.start = rule.document_start.data<std::int32_t>();
    s.start_batch = rule.document_start.stride(0);
    s.start_row = rule.document_start.stride(1);
  }
  return s;
}

void attention_forward(const Exec& ex, View o, View lse, ConstView q, ConstView k, ConstView v,
                       const AttentionRule& rule) {
  check_lse(lse);
  const AttentionKernel kernel = chosen(ex, q, rule.scale, {o, q, k, v});
  if (kernel == AttentionKernel::wgmma) {
    return attention_wgmma::forward(ex, o, lse, q, k, v, rule);
  }
  if (kernel == AttentionKernel::mma) return attention_mma::forward(ex, o, lse, q, k, v, rule);
  attention_naive::forward(ex, o, lse, q, k, v, rule);
}

void attention_backward(const Exec& ex, View dq, View dk, View dv, ConstView do_, ConstView q,
                        ConstView k, ConstView v, ConstView o, ConstView lse,
                        const AttentionRule& rule) {
  check_lse(lse);
  const AttentionKernel kernel = chosen(ex, q, rule.scale, {dq, dk, dv, do_, q, k, v, o});
  require_backward(ex.attention_backward, kernel);
  if (kernel == AttentionKernel::wgmma) {
    return attention_wgmma::backward(ex, dq, dk, dv, do_, q, k, v, o, lse, rule);
  }
  if (kernel == AttentionKernel::mma) {
    return attention_mma::backward(ex, dq, dk, dv, do_, q, k, v, o, lse, rule);
  }
  attention_naive::backward(ex, dq, dk, dv, do_, q, k, v, o, lse, rule);
}

}  // namespace mixspan::cuda
