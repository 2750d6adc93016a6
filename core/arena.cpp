#include "core/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

namespace mixspan {

namespace {
constexpr std::size_t kAlignment = 64;
std::size_t round_up(std::size_t bytes) { return (bytes + kAlignment - 1) & ~(kAlignment - 1); }
}  // namespace

Arena::Arena(std::string name, std::size_t capacity_bytes)
    : name_(std::move(name)), capacity_(capacity_bytes) {
  void* p = MAP_FAILED;
  // A limit on address space (ulimit -v, some containers) may refuse the first wish; a quarter of
  // it is still far more than a machine with such a limit can use.
  for (; capacity_ >= (std::size_t{1} << 30) || capacity_ == capacity_bytes; capacity_ /= 4) {
    p = ::mmap(nullptr, capacity_, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p != MAP_FAILED) break;
  }
  check(p != MAP_FAILED, "arena '{}': could not reserve {} bytes of address space", name_,
        capacity_bytes);
  base_ = static_cast<std::byte*>(p);
  ::madvise(base_, capacity_, MADV_HUGEPAGE);  // a wish: without huge pages only speed is lost
}

Arena::~Arena() { ::munmap(base_, capacity_); }

int Arena::label_id(std::string_view label) {
  if (auto it = label_ids_.find(label); it != label_ids_.end()) return it->second;
  const int id = static_cast<int>(labels_.size());
  labels_.emplace_back(label);
  label_ids_.emplace(label, id);
  label_bytes_.push_back(0);
  return id;
}

View Arena::allocate(std::string_view label, Shape shape, DType dtype) {
  const std::size_t bytes =
      round_up(std::max<std::size_t>(static_cast<std::size_t>(shape.size()) * size_of(dtype), 1));
  check(bytes <= capacity_ - used_,
        "arena '{}': {} bytes for '{}' do not fit; {} of {} bytes are in use", name_, bytes, label,
        used_, capacity_);
  const int id = label_id(label);
  live_.push_back({id, used_, bytes});
  std::byte* p = base_ + used_;
  used_ += bytes;
  label_bytes_[static_cast<std::size_t>(id)] += bytes;
  if (used_ > high_water_) {
    high_water_ = used_;
    high_water_bytes_ = label_bytes_;
  }
  if (poison_) std::memset(p, 0xff, bytes);  // 0xffffffff is a NaN in every float format used here
  return View(p, dtype, shape);
}

void Arena::release(std::size_t mark) {
  while (live_.size() > mark) {
    const Live& a = live_.back();
    label_bytes_[static_cast<std::size_t>(a.label)] -= a.bytes;
    used_ = a.begin;
    live_.pop_back();
  }
}

std::vector<Arena::LabelUse> Arena::high_water_report() const {
  std::vector<LabelUse> report;
  for (std::size_t i = 0; i < high_water_bytes_.size(); ++i) {
    if (high_water_bytes_[i] > 0) report.push_back({labels_[i], high_water_bytes_[i]});
  }
  std::sort(report.begin(), report.end(),
            [](const LabelUse& a, const LabelUse& b) { return a.bytes > b.bytes; });
  return report;
}

}  // namespace mixspan
