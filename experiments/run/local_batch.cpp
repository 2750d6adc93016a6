#include "experiments/run/local_batch.h"

#include <algorithm>
#include <cstring>

#include "core/copy.h"
#include "kernels/indices.h"

namespace mixspan {

namespace {

// The positions of `rank` out of (B, T) i32.
Tensor held_positions(const Tensor& whole, const SequenceLayout& layout, int rank) {
  if (whole.view().empty()) return {};
  const std::int64_t B = whole.shape()[0], T = whole.shape()[1], held = layout.rows(rank);
  check(T == layout.T(), "a batch of {} tokens a row for a layout of {}", T, layout.T());
  Tensor part({B, held}, DType::i32);
  for (std::int64_t b = 0; b < B; ++b) {
    std::int32_t* to = part.data<std::int32_t>() + b * held;
    for (const Range& chunk : layout.chunks(rank)) {
      to = std::copy_n(whole.data<std::int32_t>() + b * T + chunk.begin, chunk.size(), to);
    }
  }
  return part;
}

void check_limits(const LocalBatch::Views& batch, const ModelConfig& model) {
  const auto check_all = [&](std::string_view name, const ConstView& x, std::int64_t limit,
                             IgnoredIndex ignored) {
    check_indices(name, x.reshape({x.size()}), x.size(), limit, ignored);
  };
  check_all("batch: token", batch.tokens, model.vocab, IgnoredIndex::none);
  check_all("batch: target", batch.targets, model.vocab, IgnoredIndex::is_allowed);
  check_all("batch: position", batch.positions, model.context, IgnoredIndex::none);
}

constexpr std::size_t kDeviceAlignment = 256;

}  // namespace

std::size_t BatchStaging::room_for(ConstView host) {
  return (host.size_bytes() + kDeviceAlignment - 1) / kDeviceAlignment * kDeviceAlignment;
}

void BatchStaging::start(const Exec& ex, std::size_t bytes) {
  used_ = 0;
  if (!ex.device.is_cuda() || bytes <= pinned_.bytes()) return;
  pinned_ = PinnedBuffer(bytes, "batch");
  on_device_ = DeviceBuffer(ex.device, bytes, "batch");
}

ConstView BatchStaging::put(const Exec& ex, ConstView host) {
  if (host.empty() || !ex.device.is_cuda()) return host;
  check_contiguous("a batch", host);
  check(used_ + room_for(host) <= pinned_.bytes(), "a batch of more than {} bytes", used_);
  void* const pinned = static_cast<std::byte*>(pinned_.data()) + used_;
  const View there(static_cast<std::byte*>(on_device_.data()) + used_, host.dtype(), host.shape());
  used_ += room_for(host);
  std::memcpy(pinned, host.raw(), host.size_bytes());
  copy(ex, there, ConstView(pinned, host.dtype(), host.shape()));
  return there;
}

LocalBatch::LocalBatch(const Exec& ex, BatchStaging& staging, const Batch& batch,
                       const ModelConfig& model, Communicator& cp, const SequenceLayout& layout)
    : batch_(batch), cp_(cp), layout_(layout) {
  const Tensor* const whole[] = {&batch.tokens, &batch.targets, &batch.positions,
                                 &batch.document_start};
  ConstView* const held[] = {&host_.tokens, &host_.targets, &host_.positions,
                             &host_.document_start};
  ConstView* const there[] = {&there_.tokens, &there_.targets, &there_.positions,
                              &there_.document_start};
  const bool split = cp.size() > 1;
  std::size_t bytes = split ? BatchStaging::room_for(batch.document_start) : 0;
  for (std::size_t i = 0; i < 4; ++i) {
    if (split) copies_[i] = held_positions(*whole[i], layout, cp.rank());
    *held[i] = split ? copies_[i] : *whole[i];
    bytes += BatchStaging::room_for(*held[i]);
  }
  if (ex.device.is_cuda()) check_limits(host_, model);
  staging.start(ex, bytes);
  for (std::size_t i = 0; i < 4; ++i) *there[i] = staging.put(ex, *held[i]);
  if (split && ex.device.is_cuda()) whole_starts_there_ = staging.put(ex, batch.document_start);
}

LocalBatch::Part LocalBatch::part(std::int64_t begin, std::int64_t count) const {
  const auto rows = [&](const ConstView& x) {
    return x.empty() ? x : x.slice(0, begin, begin + count);
  };
  const auto flat = [&](const ConstView& x) {
    const ConstView part = rows(x);
    return part.reshape({part.size()});
  };
  return {{cp_, layout_, rows(batch_.document_start), rows(whole_starts_there_)},
          rows(there_.tokens),
          rows(there_.positions),
          rows(there_.document_start),
          flat(there_.targets),
          flat(host_.positions),
          flat(host_.targets)};
}

}  // namespace mixspan
