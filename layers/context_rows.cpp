#include "layers/context_rows.h"

#include <algorithm>

#include "core/trace.h"
#include "kernels/attention_merge.h"
#include "kernels/chunks.h"

namespace mixspan::context {

namespace {

constexpr const char* kTraced = "attention";

// Calls body(to, from, floats) for each row of (B, n, N, H).
template <class Body>
void for_each_row(const Exec& ex, const View& to, const ConstView& from, Body&& body) {
  check_shape("rows", from, to.shape());
  const std::int64_t n = to.dim(1), floats = to.dim(2) * to.dim(3);
  check(to.stride(2) == to.dim(3) && from.stride(2) == from.dim(3), "heads of a row lie apart");
  const std::int64_t rows = to.dim(0) * n;
  for_each_chunk(ex.threads, rows, rows_per_chunk(floats), [&](auto begin, auto end, auto) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t b = row / n, t = row % n;
      body(to.data<float>() + b * to.stride(0) + t * to.stride(1),
           from.data<float>() + b * from.stride(0) + t * from.stride(1), floats);
    }
  });
}

View lse_rows(const View& lse, Range rows) { return lse.slice(2, rows.begin, rows.end); }
ConstView lse_rows(const ConstView& lse, Range rows) { return lse.slice(2, rows.begin, rows.end); }

}  // namespace

std::vector<Chunk> chunks_of(const SequenceLayout& layout, int rank) {
  std::vector<Chunk> chunks;
  std::int64_t row = 0;
  for (const Range& positions : layout.chunks(rank)) {
    chunks.push_back({positions, {row, row + positions.size()}});
    row += positions.size();
  }
  return chunks;
}

void copy_rows(const Exec& ex, View to, ConstView from) {
  for_each_row(ex, to, from,
               [](float* y, const float* x, std::int64_t n) { std::copy_n(x, n, y); });
}

void clear_rows(const Exec& ex, View to) {
  for_each_row(ex, to, to, [](float* y, const float*, std::int64_t n) { std::fill_n(y, n, 0.0f); });
}

void add_rows(const Exec& ex, View to, ConstView from) {
  for_each_row(ex, to, from, [](float* y, const float* x, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) y[i] += x[i];
  });
}

AttentionRule rule_of(const ContextAttention& c, const Rectangle& r) {
  AttentionRule rule{c.span, c.scale, {}, r.first_query, r.first_key};
  if (!c.document_start.empty()) {
    rule.document_start = c.document_start.slice(1, r.rows.begin, r.rows.end);
  }
  return rule;
}

void attend(const ContextAttention& c, const Rectangle& r, View o, View lse, ConstView q,
            ConstView k, ConstView v) {
  if (r.rows.empty()) return;
  const TraceRange range(c.ex.tracer, kTraced);
  attention_forward(c.ex, rows_of(o, r.rows), lse_rows(lse, r.rows), rows_of(q, r.rows), k, v,
                    rule_of(c, r));
}

void attend_more(const ContextAttention& c, const Rectangle& r, View o, View lse, ConstView q,
                 ConstView k, ConstView v) {
  if (r.rows.empty()) return;
  const TraceRange range(c.ex.tracer, kTraced);
  const Arena::Scope scope(c.ex.scratch);
  const View all_rows = rows_of(o, r.rows), all_lse = lse_rows(lse, r.rows);
  const View part = c.ex.scratch.allocate("partial attention", all_rows.shape());
  const View part_lse = c.ex.scratch.allocate("partial lse", all_lse.shape());
  attention_forward(c.ex, part, part_lse, rows_of(q, r.rows), k, v, rule_of(c, r));
  attention_merge(c.ex, all_rows, all_lse, part, part_lse);
}

void attend_backward(const ContextAttention& c, const Rectangle& r, View dq, View dk, View dv,
                     const Upstream& up, ConstView k, ConstView v) {
  if (r.rows.empty()) {
    clear_rows(c.ex, dk);
    clear_rows(c.ex, dv);
    return;
  }
  const TraceRange range(c.ex.tracer, kTraced);
  attention_backward(c.ex, rows_of(dq, r.rows), dk, dv, rows_of(up.do_, r.rows),
                     rows_of(up.q, r.rows), k, v, rows_of(up.o, r.rows), lse_rows(up.lse, r.rows),
                     rule_of(c, r));
}

void attend_backward_more(const ContextAttention& c, const Rectangle& r, View dq, View dk, View dv,
                          const Upstream& up, ConstView k, ConstView v) {
  const Arena::Scope scope(c.ex.scratch);
  const View part = c.ex.scratch.allocate("partial dq", dq.shape());
  attend_backward(c, r, part, dk, dv, up, k, v);
  add_rows(c.ex, rows_of(dq, r.rows), rows_of(part, r.rows));
}

}  // namespace mixspan::context
