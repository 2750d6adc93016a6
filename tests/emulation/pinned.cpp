#include "tests/emulation/pinned.h"

#include <cstdlib>
#include <cstring>

#include "core/error.h"

namespace mixspan::emulation {

PinnedMemory& PinnedMemory::instance() {
  static PinnedMemory* memory = new PinnedMemory;  // never destroyed, as DeviceHeap
  return *memory;
}

void* PinnedMemory::allocate(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  auto* p = static_cast<std::byte*>(std::malloc(bytes));
  if (p == nullptr) return nullptr;
  std::memset(p, 0xff, bytes);
  live_.emplace(p, bytes);
  return p;
}

void PinnedMemory::free(void* pointer) {
  arrive_all();  // CUDA waits here too
  const std::lock_guard lock(mutex_);
  check(live_.erase(static_cast<std::byte*>(pointer)) == 1,
        "freed pinned memory that was not allocated");
  std::free(pointer);
}

bool PinnedMemory::contains(const void* pointer) {
  const std::lock_guard lock(mutex_);
  auto* p = const_cast<std::byte*>(static_cast<const std::byte*>(pointer));
  auto after = live_.upper_bound(p);
  if (after == live_.begin()) return false;
  const auto& [begin, bytes] = *--after;
  return p < begin + bytes;
}

void PinnedMemory::send(void* stream, void* to, const void* from, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto* begin = static_cast<const std::byte*>(from);
  on_their_way_.push_back(
      {stream, next_++, static_cast<std::byte*>(to), nullptr, {begin, begin + bytes}});
  std::memset(to, 0xff, bytes);
}

void PinnedMemory::watch(void* stream, const void* from, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto* begin = static_cast<const std::byte*>(from);
  on_their_way_.push_back({stream, next_++, nullptr, begin, {begin, begin + bytes}});
}

std::uint64_t PinnedMemory::now() {
  const std::lock_guard lock(mutex_);
  return next_;
}

void PinnedMemory::finish(const Copy& copy) {
  if (copy.to != nullptr) {
    std::memcpy(copy.to, copy.bytes.data(), copy.bytes.size());
    return;
  }
  check(std::memcmp(copy.from, copy.bytes.data(), copy.bytes.size()) == 0,
        "the host changed {} bytes of pinned memory while a copy from there was on its way",
        copy.bytes.size());
}

void PinnedMemory::arrive(void* stream, std::uint64_t before) {
  const std::lock_guard lock(mutex_);
  std::vector<Copy> done, rest;
  for (Copy& copy : on_their_way_) {
    (copy.stream == stream && copy.number < before ? done : rest).push_back(std::move(copy));
  }
  on_their_way_ = std::move(rest);
  for (const Copy& copy : done) finish(copy);
}

void PinnedMemory::arrive_all() {
  const std::lock_guard lock(mutex_);
  const std::vector<Copy> done = std::move(on_their_way_);
  on_their_way_.clear();
  for (const Copy& copy : done) finish(copy);
}

}  // namespace mixspan::emulation
