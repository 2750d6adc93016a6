#include "core/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace mixspan {

namespace {

constexpr std::size_t kHostAlignment = 64;     // one cache line
constexpr std::size_t kDeviceAlignment = 256;  // what cudaMalloc gives
constexpr std::size_t kLargestChunk = std::size_t{256} << 20;

std::size_t round_up(std::size_t bytes, std::size_t alignment) {
  return (bytes + alignment - 1) & ~(alignment - 1);
}

}  // namespace

Arena::Arena(std::string name, std::size_t capacity_bytes)
    : Arena(std::move(name), Device{}, capacity_bytes) {}

Arena::Arena(std::string name, Device device, std::size_t capacity_bytes)
    : name_(std::move(name)),
      device_(device),
      alignment_(device.is_cuda() ? kDeviceAlignment : kHostAlignment),
      capacity_(capacity_bytes) {
  if (!device.is_cuda()) reserve_host();
}

void Arena::reserve_host() {
  const std::size_t wanted = capacity_;
  void* p = MAP_FAILED;
  // A limit on address space (ulimit -v, some containers) may refuse the first wish; a quarter of
  // it is still far more than a machine with such a limit can use.
  for (; capacity_ >= (std::size_t{1} << 30) || capacity_ == wanted; capacity_ /= 4) {
    p = ::mmap(nullptr, capacity_, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p != MAP_FAILED) break;
  }
  if (p == MAP_FAILED) {
    fail_memory(
        "arena '{}': could not reserve {} bytes of address space, nor a part of it: its limit "
        "(ulimit -v) is too "
        "low",
        name_, wanted);
  }
  ::madvise(p, capacity_, MADV_HUGEPAGE);  // a wish: without huge pages only speed is lost
  chunks_.push_back({static_cast<std::byte*>(p), capacity_, {}});
}

Arena::~Arena() {
  if (!device_.is_cuda()) ::munmap(chunks_[0].base, chunks_[0].bytes);
}

std::size_t Arena::taken_bytes() const {
  std::size_t bytes = 0;
  for (const Chunk& chunk : chunks_) bytes += chunk.bytes;
  return bytes;
}

// All of them: what is to be mended may be a small one that is there many times.
std::string Arena::labels_in_use() const {
  std::vector<std::size_t> order(labels_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return label_bytes_[a] > label_bytes_[b]; });
  std::string text;
  for (const std::size_t id : order) {
    if (label_bytes_[id] == 0) break;
    text += fmt::format("{}{} {}", text.empty() ? ": " : ", ", labels_[id], label_bytes_[id]);
  }
  return text;
}

// As large as usual, or where the device no longer has that, as large as must be.
Arena::Chunk Arena::take_chunk(std::size_t bytes, std::size_t usual) const {
  std::size_t wanted = std::max(bytes, usual);
  DeviceBuffer buffer;
  try {
    buffer = DeviceBuffer(device_, wanted, "a chunk");
  } catch (const OutOfMemory&) {
    if (wanted == bytes) throw;
    wanted = bytes;
    buffer = DeviceBuffer(device_, wanted, "a chunk");
  }
  auto* base = static_cast<std::byte*>(buffer.data());
  return {base, wanted, std::move(buffer)};
}

void Arena::add_chunk(std::size_t bytes, std::string_view label) {
  const std::string what =
      fmt::format("arena '{}': {} bytes for '{}' do not fit; {} of {} bytes are in use{}", name_,
                  bytes, label, used_, capacity_, labels_in_use());
  const std::size_t left = capacity_ - taken_bytes();
  if (!device_.is_cuda() || bytes > left) fail_memory("{}", what);
  // Small devices get small chunks: what is left at the end of each is lost.
  const std::size_t usual = std::min(kLargestChunk, memory_of(device_).total_bytes / 64);
  try {
    chunks_.push_back(take_chunk(bytes, std::min(round_up(usual, alignment_), left)));
  } catch (const OutOfMemory& e) {
    fail_memory("{} ({})", what, e.what());
  }
}

Arena::Place Arena::place_for(std::size_t bytes, std::string_view label) {
  for (Place p = top_; p.chunk < chunks_.size(); p = {p.chunk + 1, 0}) {
    if (bytes <= chunks_[p.chunk].bytes - p.begin) return p;
  }
  add_chunk(bytes, label);
  return {chunks_.size() - 1, 0};
}

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
      round_up(std::max<std::size_t>(static_cast<std::size_t>(shape.size()) * size_of(dtype), 1),
               alignment_);
  const Place place = place_for(bytes, label);
  const int id = label_id(label);
  live_.push_back({id, top_, bytes});
  std::byte* p = chunks_[place.chunk].base + place.begin;
  top_ = {place.chunk, place.begin + bytes};
  used_ += bytes;
  label_bytes_[static_cast<std::size_t>(id)] += bytes;
  if (used_ > high_water_) {
    high_water_ = used_;
    high_water_bytes_ = label_bytes_;
  }
  if (poison_) {  // 0xffffffff is a NaN in every float format used here
    if (device_.is_cuda()) {
      fill_bytes(poison_stream_, p, 0xff, bytes);
    } else {
      std::memset(p, 0xff, bytes);
    }
  }
  return View(p, dtype, shape);
}

void Arena::release(std::size_t mark) {
  while (live_.size() > mark) {
    const Live& a = live_.back();
    label_bytes_[static_cast<std::size_t>(a.label)] -= a.bytes;
    used_ -= a.bytes;
    top_ = a.before;
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
