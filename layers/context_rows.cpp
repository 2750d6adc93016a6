#include "layers/context_rows.h"

#include "core/trace.h"
#include "kernels/attention_merge.h"

namespace mixspan::context {

namespace {

constexpr const char* kTraced = "attention";

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
  const View part = c.ex.scratch.allocate("partial attention", all_rows.shape(), o.dtype());
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
  const View part = c.ex.scratch.allocate("partial dq", dq.shape(), dq.dtype());
  attend_backward(c, r, part, dk, dv, up, k, v);
  add_rows(c.ex, rows_of(dq, r.rows), rows_of(part, r.rows));
}

}  // namespace mixspan::context
