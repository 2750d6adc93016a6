#include <bit>
#include <cstring>

#include "core/error.h"
#include "tests/emulation/sm90_state.h"
#include "tests/emulation/tensor_maps.h"

namespace mixspan::emulation {

namespace {

thread_local int unfinished = 0;
thread_local BesideState this_state;

// As a barrier lies in its eight bytes.
struct BarrierBits {
  std::uint32_t phase : 1;
  std::uint32_t arrivals : 15;
  std::uint32_t missing : 16;
  std::int32_t bytes;  // announced and not there yet
};
static_assert(sizeof(BarrierBits) == 8);

BarrierBits bits_of(const std::uint64_t* barrier) {
  shared_address(barrier);  // must be in shared memory
  const auto b = std::bit_cast<BarrierBits>(*barrier);
  check(b.arrivals > 0 && b.arrivals < 2048, "a barrier is used that nobody initialised");
  return b;
}
void set(std::uint64_t* barrier, BarrierBits b) {
  if (b.missing == 0 && b.bytes == 0) {
    b.phase ^= 1u;
    b.missing = b.arrivals;
  }
  *barrier = std::bit_cast<std::uint64_t>(b);
}

void deliver_copies(std::uint64_t* barrier) {
  auto& all = beside_state().copies_in;
  for (std::size_t i = 0; i < all.size();) {
    if (all[i].barrier != barrier) {
      ++i;
      continue;
    }
    const CopyIn copy = std::move(all[i]);
    all.erase(all.begin() + static_cast<std::ptrdiff_t>(i));
    copy.deliver();
    BarrierBits b = bits_of(barrier);
    b.bytes -= copy.bytes;
    set(barrier, b);
  }
}

// Calls row(where in global memory or null, address in shared memory) for each row of the box.
template <class Row>
void for_each_row(const MapContents& m, std::uint32_t shared, Coordinates at, Row row) {
  const std::uint32_t row_bytes = m.box[0] * 2;
  check(!m.swizzled || row_bytes == 128, "a swizzled box with rows of {} bytes is not emulated",
        row_bytes);
  check(shared % (m.swizzled ? 1024 : 128) == 0, "a box at {} of shared memory is not aligned",
        shared);
  check(at[0] % 8 == 0 && at[0] >= 0 && static_cast<std::uint32_t>(at[0]) + m.box[0] <= m.sizes[0],
        "a box that leaves its rows is not emulated");
  for (std::uint32_t i3 = 0; i3 < m.box[3]; ++i3) {
    for (std::uint32_t i2 = 0; i2 < m.box[2]; ++i2) {
      for (std::uint32_t i1 = 0; i1 < m.box[1]; ++i1, shared += row_bytes) {
        const std::int64_t place[3] = {at[1] + std::int64_t{i1}, at[2] + std::int64_t{i2},
                                       at[3] + std::int64_t{i3}};
        std::byte* p = m.data + std::ptrdiff_t{at[0]} * 2;
        bool inside = true;
        for (int d = 0; d < 3; ++d) {
          inside &= place[d] >= 0 && place[d] < static_cast<std::int64_t>(m.sizes[d + 1]);
          p += place[d] * static_cast<std::int64_t>(m.strides[d]);
        }
        row(inside ? p : nullptr, shared);
      }
    }
  }
}

std::uint32_t place_of(const MapContents& m, std::uint32_t address) {
  return m.swizzled ? swizzled_128(address) : address;
}

std::size_t bytes_of(const MapContents& m) {
  return std::size_t{2} * m.box[0] * m.box[1] * m.box[2] * m.box[3];
}

void box_in(const MapContents& m, std::uint32_t to, Coordinates at) {
  for_each_row(m, to, at, [&](const std::byte* p, std::uint32_t shared) {
    const std::uint32_t bytes = m.box[0] * 2;
    if (p != nullptr) check_device_range(p, bytes, "a copy of a box");
    for (std::uint32_t i = 0; i < bytes; i += 16) {
      void* piece = shared_pointer(place_of(m, shared + i), 16);
      if (p == nullptr) {
        std::memset(piece, 0, 16);
      } else {
        std::memcpy(piece, p + i, 16);
      }
    }
  });
}

// `bytes`: what lay at `from` in shared memory.
void box_out(const MapContents& m, std::uint32_t from, Coordinates at, const std::byte* bytes) {
  for_each_row(m, from, at, [&](std::byte* p, std::uint32_t shared) {
    if (p == nullptr) return;
    const std::uint32_t row_bytes = m.box[0] * 2;
    check_device_range(p, row_bytes, "a copy of a box");
    for (std::uint32_t i = 0; i < row_bytes; i += 16) {
      std::memcpy(p + i, bytes + (place_of(m, shared + i) - from), 16);
    }
  });
}

void begin_copy_out(std::uint32_t from, std::size_t bytes,
                    std::function<void(const std::byte*)> write) {
  check_shown(from, bytes, "a copy out");
  CopyOut copy{from, std::vector<std::byte>(bytes), false, std::move(write)};
  if (beside() == Beside::early) {
    copy.read();
    return copy.write(copy.bytes.data());
  }
  beside_state().copies_out[thread_rank()].push_back(std::move(copy));
}

void check_aligned(const void* device, const void* shared, std::size_t bytes) {
  const bool aligned = reinterpret_cast<std::uintptr_t>(device) % 16 == 0 &&
                       shared_address(shared) % 16 == 0 && bytes % 16 == 0;
  check(aligned, "a copy of {} bytes whose ends are not multiples of 16", bytes);
}

void begin_copy_in(void* to, std::size_t bytes, std::uint64_t* barrier,
                   std::function<void()> deliver) {
  bits_of(barrier);
  check_shown(shared_address(to), bytes, "a copy in");
  std::memset(shared_pointer(shared_address(to), bytes), 0xff, bytes);
  beside_state().copies_in.push_back({barrier, static_cast<int>(bytes), std::move(deliver)});
}

}  // namespace

Beside& beside() {
  static Beside mode = Beside::late;
  return mode;
}

void CopyOut::read() {
  if (!was_read) std::memcpy(bytes.data(), shared_pointer(from, bytes.size()), bytes.size());
  was_read = true;
}

bool BesideState::finished() const {
  bool yes = copies_in.empty();
  for (const auto& [thread, copies] : copies_out) {
    for (const CopyOut& copy : copies) yes &= copy.was_read;
  }
  for (const WarpgroupState& w : warpgroups) yes &= w.open.empty() && w.groups.empty();
  return yes;
}

BesideState& beside_state() {
  BesideState& state = this_state;
  if (state.block != block_serial()) {
    if (!state.finished()) ++unfinished;
    state = {};
    state.block = block_serial();
  }
  return state;
}

int unfinished_blocks() {
  // The last block is looked at, and counts as looked at, when no other has begun.
  BesideState& state = beside_state();
  const int n = unfinished + (state.finished() ? 0 : 1);
  unfinished = 0;
  state = {};
  state.block = block_serial();
  return n;
}

void note_unfinished_blocks(int n) { unfinished += n; }

void barrier_init(std::uint64_t* barrier, int arrivals) {
  shared_address(barrier);
  check(arrivals > 0 && arrivals < 2048, "a barrier for {} arrivals", arrivals);
  const auto n = static_cast<std::uint32_t>(arrivals);
  *barrier = std::bit_cast<std::uint64_t>(
      BarrierBits{.phase = 0, .arrivals = n & 0x7fffu, .missing = n & 0xffffu, .bytes = 0});
}

void barrier_arrive(std::uint64_t* barrier, int bytes, std::source_location where) {
  BarrierBits b = bits_of(barrier);
  check(b.missing > 0, "an arrival too many at {}:{}: all {} of the phase have come",
        where.file_name(), where.line(), static_cast<int>(b.arrivals));
  b.bytes += bytes;
  --b.missing;
  const bool ended = b.missing == 0 && b.bytes == 0;
  set(barrier, b);
  // Who waits for this may be quicker than what the calling thread does next. Nobody can where
  // bytes are on their way: who starts copies goes on to the next, as far ahead as it may.
  if (ended) let_others_run("mbarrier.arrive", false, where);
}

void barrier_wait(std::uint64_t* barrier, unsigned parity, std::source_location where) {
  const auto ended = [&] {
    deliver_copies(barrier);
    return bits_of(barrier).phase != parity;
  };
  wait_until("mbarrier.try_wait", ended, where);
}

void copy_box_in(void* to, const void* map, std::uint64_t* barrier, Coordinates at) {
  const MapContents m = contents_of_map(map);
  const std::uint32_t address = shared_address(to);
  begin_copy_in(to, bytes_of(m), barrier, [=] { box_in(m, address, at); });
}

void copy_bytes_in(void* to, const void* from, std::size_t bytes, std::uint64_t* barrier) {
  check_aligned(from, to, bytes);
  check_device_range(from, bytes, "a copy of bytes");
  begin_copy_in(to, bytes, barrier, [=] { std::memcpy(to, from, bytes); });
}

void copy_box_out(const void* map, const void* from, Coordinates at) {
  const MapContents m = contents_of_map(map);
  const std::uint32_t address = shared_address(from);
  begin_copy_out(address, bytes_of(m),
                 [=](const std::byte* bytes) { box_out(m, address, at, bytes); });
}
void copy_bytes_out(void* to, const void* from, std::size_t bytes, bool add) {
  check_aligned(to, from, bytes);
  check_device_range(to, bytes, "a copy of bytes");
  begin_copy_out(shared_address(from), bytes, [=](const std::byte* source) {
    if (!add) {
      std::memcpy(to, source, bytes);
      return;
    }
    for (std::size_t i = 0; i < bytes / sizeof(float); ++i) {
      float x;
      std::memcpy(&x, source + i * sizeof(float), sizeof(float));
      static_cast<float*>(to)[i] += x;
    }
  });
}
void commit_copies_out() {}
void wait_copies_out_read() {
  const auto mine = beside_state().copies_out.find(thread_rank());
  if (mine == beside_state().copies_out.end()) return;
  for (CopyOut& copy : mine->second) copy.read();
}
void wait_copies_out() {
  auto mine = beside_state().copies_out.extract(thread_rank());
  if (mine.empty()) return;
  for (CopyOut& copy : mine.mapped()) {
    copy.read();
    copy.write(copy.bytes.data());
  }
}
void write_copies_out() {
  for (auto& [thread, copies] : beside_state().copies_out) {
    std::erase_if(copies, [](const CopyOut& copy) {
      if (copy.was_read) copy.write(copy.bytes.data());
      return copy.was_read;
    });
  }
}

void note_write(std::uint32_t address) {
  beside_state().hidden_writes[address / 16] = thread_rank();
}
void show_writes() {
  std::erase_if(beside_state().hidden_writes,
                [me = thread_rank()](const auto& write) { return write.second == me; });
}
void check_shown(std::uint32_t address, std::size_t bytes, const char* reader) {
  const auto& hidden = beside_state().hidden_writes;
  if (hidden.empty()) return;
  for (std::size_t i = 0; i < bytes; i += 16) {
    const auto found = hidden.find((address + static_cast<std::uint32_t>(i)) / 16);
    check(found == hidden.end(), "{} takes shared memory that thread {} wrote and did not show",
          reader, found == hidden.end() ? 0 : found->second);
  }
}

std::uint32_t swizzled_128(std::uint32_t address) { return address ^ ((address >> 7 & 7u) << 4); }

}  // namespace mixspan::emulation
