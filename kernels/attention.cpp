#include "kernels/attention.h"

#include "core/trace.h"
#include "kernels/attention_passes.h"
#include "kernels/cuda/attention.h"

namespace mixspan {

namespace {

void check_inputs(const ConstView& q, const ConstView& k, const ConstView& v,
                  const AttentionRule& rule) {
  check(q.shape().rank() == 4 && k.shape().rank() == 4,
        "attention: wanted q (B, Tq, N, H) and k (B, Tk, K, H), got {} and {}", q.shape().str(),
        k.shape().str());
  const std::int64_t B = q.dim(0), Tq = q.dim(1), Tk = k.dim(1), K = k.dim(2), H = q.dim(3);
  check_shape("attention k", k, {B, Tk, K, H});
  check_shape("attention v", v, {B, Tk, K, H});
  check(0 <= rule.first_key && rule.first_key <= rule.first_query,
        "attention: the first query sits at position {} and the first key at {}; wanted keys that "
        "begin at 0 or after and not past the queries",
        rule.first_query, rule.first_key);
  check(K >= 1 && q.dim(2) % K == 0,
        "attention: {} query heads cannot share {} key/value heads evenly", q.dim(2), K);
  if (rule.document_start.empty()) return;
  check_shape("attention document_start", rule.document_start, {B, Tq});
  check_dtype("attention document_start", rule.document_start, DType::i32);
}

std::string traced_name(const Exec& ex, const AttentionRule& rule) {
  return ex.tracer == nullptr ? "" : "attention " + rule.span.str();
}

}  // namespace

void attention_forward(const Exec& ex, View o, View lse, ConstView q, ConstView k, ConstView v,
                       const AttentionRule& rule) {
  check_inputs(q, k, v, rule);
  check_shape("attention o", o, q.shape());
  check_shape("attention lse", lse, {q.dim(0), q.dim(2), q.dim(1)});
  const std::string name = traced_name(ex, rule);
  const TraceRange range(ex.tracer, name);
  if (ex.device.is_cuda()) return cuda::attention_forward(ex, o, lse, q, k, v, rule);
  if (ex.oracle) return oracle::attention_forward(o, lse, q, k, v, rule);
  if (q.size() == 0) return;
  attention::run_forward(ex, {o, lse, q, k, v, rule},
                         attention::tile_kernels(ex.isa, ex.precision));
}

void attention_backward(const Exec& ex, View dq, View dk, View dv, ConstView do_, ConstView q,
                        ConstView k, ConstView v, ConstView o, ConstView lse,
                        const AttentionRule& rule) {
  check_inputs(q, k, v, rule);
  check_shape("attention dq", dq, q.shape());
  check_shape("attention dk", dk, k.shape());
  check_shape("attention dv", dv, k.shape());
  check_shape("attention do", do_, q.shape());
  check_shape("attention o", o, q.shape());
  check_shape("attention lse", lse, {q.dim(0), q.dim(2), q.dim(1)});
  const std::string name = traced_name(ex, rule);
  const TraceRange range(ex.tracer, name);
  if (ex.device.is_cuda()) {
    return cuda::attention_backward(ex, dq, dk, dv, do_, q, k, v, o, lse, rule);
  }
  if (ex.oracle) return oracle::attention_backward(dq, dk, dv, do_, q, k, v, o, lse, rule);
  if (q.size() == 0) {
    attention::clear_rows(dk);
    attention::clear_rows(dv);
    return;
  }
  attention::run_backward(ex, {dq, dk, dv, do_, q, k, v, o, lse, rule},
                          attention::tile_kernels(ex.isa, ex.precision));
}

void attention_decode(const Exec& ex, View o, ConstView q, ConstView k_cache, ConstView v_cache,
                      ConstView visible, float scale) {
  check(q.shape().rank() == 3 && k_cache.shape().rank() == 4,
        "attention decode: wanted q (B, N, H) and caches (B, S, K, H), got {} and {}",
        q.shape().str(), k_cache.shape().str());
  const std::int64_t B = q.dim(0), N = q.dim(1), H = q.dim(2);
  const std::int64_t S = k_cache.dim(1), K = k_cache.dim(2);
  check_shape("attention decode k_cache", k_cache, {B, S, K, H});
  check_shape("attention decode v_cache", v_cache, k_cache.shape());
  check_shape("attention decode o", o, q.shape());
  check_shape("attention decode visible", visible, {S});
  check(K >= 1 && N % K == 0, "attention decode: {} query heads cannot share {} heads evenly", N,
        K);
  if (ex.device.is_cuda()) {
    return cuda::attention_decode(ex, o, q, k_cache, v_cache, visible, scale);
  }
  const std::uint8_t* seen = visible.data<std::uint8_t>();
  check(std::any_of(seen, seen + S, [](std::uint8_t s) { return s != 0; }),
        "attention decode: no row of the cache is visible");

  const std::int64_t group = N / K, scores = (group * S + 15) / 16 * 16;
  const attention::TileKernels& kernels = attention::tile_kernels(ex.isa, Precision::fp32);
  auto scope = ex.scratch.scope();
  float* memory =
      ex.scratch.allocate("attention decode", {ex.threads.size(), scores}).data<float>();
  ex.threads.for_each(B * K, [&](std::int64_t item, int worker) {
    const std::int64_t b = item / K, head = item % K, n = head * group;
    kernels.decode({group,
                    S,
                    H,
                    scale,
                    {q.data<float>() + b * q.stride(0) + n * q.stride(1), q.stride(1)},
                    attention::rows_of(k_cache, b, head),
                    attention::rows_of(v_cache, b, head),
                    seen,
                    memory + worker * scores,
                    o.data<float>() + b * o.stride(0) + n * o.stride(1),
                    o.stride(1)});
  });
}

namespace attention {

const TileKernels& tile_kernels(Isa isa, Precision precision) {
  if (precision == Precision::bf16) {
    check(isa == Isa::avx512 && has_avx512_bf16(),
          "attention: products of bf16 want AVX512-BF16, which {} has not", cpu_name());
    return avx512_bf16::tile_kernels();
  }
#if defined(__x86_64__)
  if (isa == Isa::avx512) return avx512::tile_kernels();
  if (isa == Isa::avx2) return avx2::tile_kernels();
#endif
  static_cast<void>(isa);
  return portable::tile_kernels();
}

}  // namespace attention

}  // namespace mixspan
