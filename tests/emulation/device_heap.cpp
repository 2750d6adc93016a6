#include "tests/emulation/device_heap.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "core/error.h"
#include "tests/emulation/emulation.h"

namespace mixspan::emulation {

namespace {

constexpr std::size_t kSpace = std::size_t{64} << 30;  // of addresses, not of memory
constexpr std::size_t kAlignment = 256;
constexpr int kMargin = 0xa5;  // what lies between an allocation and the pages' ends

std::size_t page() {
  static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}
std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

struct sigaction former_action;

// Says what a forbidden access was before the program dies of it.
void on_fault(int signal, siginfo_t* info, void*) {
  if (DeviceHeap::instance().is_device_address(info->si_addr)) {
    const std::string text =
        fmt::format("emulation: {} touched {}\n", in_kernel() ? "a kernel" : "code of the host",
                    DeviceHeap::instance().describe(info->si_addr));
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
  }
  ::sigaction(signal, &former_action, nullptr);  // the access is repeated, and ends as ever
}

void watch_faults() {
  struct sigaction action {};
  action.sa_sigaction = &on_fault;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGSEGV, &action, &former_action);
}

}  // namespace

DeviceHeap& DeviceHeap::instance() {
  static DeviceHeap* heap = new DeviceHeap;  // never destroyed: statics may hold device memory
  return *heap;
}

DeviceHeap::DeviceHeap() {
  void* p = ::mmap(nullptr, kSpace, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  check(p != MAP_FAILED, "no address space for emulated devices");
  base_ = static_cast<std::byte*>(p);
  watch_faults();
}

void DeviceHeap::protect(const Allocation& a, int protection) {
  check(::mprotect(a.pages, a.page_bytes, protection) == 0, "mprotect of device memory failed");
}

void DeviceHeap::open() {
  const std::lock_guard lock(mutex_);
  if (opened_++ > 0) return;
  for (const auto& [begin, a] : live_) protect(a, PROT_READ | PROT_WRITE);
}

void DeviceHeap::close() {
  const std::lock_guard lock(mutex_);
  if (--opened_ > 0) return;
  for (const auto& [begin, a] : live_) protect(a, PROT_NONE);
}

void* DeviceHeap::allocate(int device, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes > settings().memory_bytes - used(device)) return nullptr;
  Allocation a{nullptr, round_up(round_up(bytes, kAlignment), page()), bytes, device};
  const auto old = freed_.find(a.page_bytes);
  if (next_ + a.page_bytes + page() <= kSpace) {
    a.pages = base_ + next_ + page();  // a closed page before each; the next one's is behind
    next_ += a.page_bytes + page();
  } else if (old != freed_.end()) {
    a.pages = old->second;
    freed_.erase(old);
  } else {
    return nullptr;
  }
  protect(a, PROT_READ | PROT_WRITE);
  std::byte* begin = a.pages + a.page_bytes - round_up(bytes, kAlignment);
  std::memset(a.pages, kMargin, a.page_bytes);
  std::memset(begin, 0xff, bytes);
  if (opened_ == 0) protect(a, PROT_NONE);
  live_.emplace(begin, a);
  return begin;
}

void DeviceHeap::check_margins_of(const std::byte* begin, const Allocation& a) {
  const auto intact = [](const std::byte* from, const std::byte* to) {
    for (; from < to; ++from) {
      if (*from != std::byte{kMargin}) return false;
    }
    return true;
  };
  check(intact(a.pages, begin) && intact(begin + a.bytes, a.pages + a.page_bytes),
        "a kernel or a copy wrote beside an allocation of {} bytes of device memory", a.bytes);
}

void DeviceHeap::check_margins() {
  const Open opened;
  const std::lock_guard lock(mutex_);
  for (const auto& [begin, a] : live_) check_margins_of(begin, a);
}

void DeviceHeap::free(void* pointer) {
  const std::lock_guard lock(mutex_);
  const auto found = live_.find(static_cast<std::byte*>(pointer));
  check(found != live_.end(), "freed device memory at {} that was not allocated", pointer);
  const Allocation a = found->second;
  protect(a, PROT_READ | PROT_WRITE);
  check_margins_of(found->first, a);
  live_.erase(found);
  ::madvise(a.pages, a.page_bytes, MADV_DONTNEED);
  protect(a, PROT_NONE);
  freed_.emplace(a.page_bytes, a.pages);
}

std::size_t DeviceHeap::used(int device) {
  const std::lock_guard lock(mutex_);
  std::size_t bytes = 0;
  for (const auto& [begin, a] : live_) bytes += a.device == device ? a.bytes : 0;
  return bytes;
}

bool DeviceHeap::contains(const void* pointer, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto* p = static_cast<const std::byte*>(pointer);
  auto after = live_.upper_bound(const_cast<std::byte*>(p));
  if (after == live_.begin()) return false;
  const auto& [begin, a] = *--after;
  return static_cast<std::size_t>(p - begin) + bytes <= a.bytes;
}

int DeviceHeap::device_of(const void* pointer) {
  const std::lock_guard lock(mutex_);
  if (!contains(pointer, 0)) return -1;
  const auto* p = static_cast<const std::byte*>(pointer);
  return std::prev(live_.upper_bound(const_cast<std::byte*>(p)))->second.device;
}

bool DeviceHeap::is_device_address(const void* pointer) const {
  const auto* p = static_cast<const std::byte*>(pointer);
  return p >= base_ && p < base_ + kSpace;
}

std::string DeviceHeap::describe(const void* pointer) {
  const std::lock_guard lock(mutex_);
  const auto* p = static_cast<const std::byte*>(pointer);
  for (const auto& [begin, a] : live_) {
    if (p < a.pages - page() || p >= a.pages + a.page_bytes + page()) continue;
    return fmt::format("device memory: byte {} of an allocation of {} bytes", p - begin, a.bytes);
  }
  return "device memory that is not allocated, or no longer";
}

}  // namespace mixspan::emulation
