#include "tests/bench/cuda/device_bench.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/build.h"

namespace mixspan::bench {

Peak peak_of(const std::string& name) {
  const auto is = [&](const char* part) { return name.find(part) != std::string::npos; };
  if (is("H200")) return {989e12, 4.8e12};
  if (is("H100") && is("PCIe")) return {756e12, 2.0e12};
  if (is("H100")) return {989e12, 3.35e12};
  if (is("A100") && is("80GB")) return {312e12, 2.04e12};
  if (is("A100")) return {312e12, 1.555e12};
  return {};
}

namespace {

// Normal numbers by Box and Muller from a linear congruence: 2^22 of them, repeated where more are
// wanted, on the host once.
Tensor make_noise() {
  constexpr std::int64_t n = std::int64_t{1} << 22;
  Tensor t({n});
  std::uint64_t state = 1;
  const auto uniform = [&] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (static_cast<double>(state >> 11) + 0.5) / 9007199254740992.0;
  };
  for (std::int64_t i = 0; i < n; i += 2) {
    const double r = std::sqrt(-2 * std::log(uniform())), a = 2 * std::numbers::pi * uniform();
    t.data<float>()[i] = static_cast<float>(r * std::cos(a));
    t.data<float>()[i + 1] = static_cast<float>(r * std::sin(a));
  }
  return t;
}

}  // namespace

DeviceBench::DeviceBench(const cuda::LibraryOptions& options)
    : stream_(device_),
      scratch_("scratch", device_),
      libraries_(device_, options),
      exec_{.device = device_,
            .stream = stream_,
            .threads = pool_,
            .libraries = &libraries_,
            .scratch = scratch_},
      flush_(device_, kFlushBytes, "buffer that empties the cache"),
      noise_(make_noise()) {
  const DeviceInfo info = describe(device_);
  peak_ = peak_of(info.name);
  fmt::print("# {}, compute capability {}.{}, {} SMs, {:.0f} GiB; mixspan {}\n", info.name,
             info.major, info.minor, info.sm_count,
             static_cast<double>(info.memory_bytes) / (1 << 30), kGitHash);
  fmt::print("# datasheet: {:.0f} TFLOP/s bf16, {:.0f} GB/s (0: not known)\n",
             peak_.bf16_flops / 1e12, peak_.bytes_per_second / 1e9);
}

Tensor DeviceBench::random(Shape shape, DType dtype, double scale) {
  Tensor scaled({noise_.size()}, dtype);
  dispatch<float, bf16>("random", dtype, [&]<class T>() {
    for (std::int64_t i = 0; i < noise_.size(); ++i) {
      scaled.data<T>()[i] = T(static_cast<float>(scale) * noise_.data<float>()[i]);
    }
  });
  Tensor t(shape, dtype, device_);
  auto* to = static_cast<std::byte*>(t.view().raw());
  const std::size_t piece = scaled.view().size_bytes(), all = t.view().size_bytes();
  for (std::size_t at = 0; at < all; at += piece) {
    copy_bytes(exec_.stream, to + at, scaled.view().raw(), std::min(piece, all - at));
  }
  synchronise(exec_.stream);
  return t;
}

double DeviceBench::median_ms(const std::function<void()>& run, int repeats) {
  const OwnedEvent begin(device_, true), end(device_, true);
  std::vector<double> times;
  for (int i = -2; i < repeats; ++i) {
    fill_bytes(exec_.stream, flush_.data(), i & 0xff, flush_.bytes());
    record(begin, exec_.stream);
    run();
    record(end, exec_.stream);
    synchronise(end);
    if (i >= 0) times.push_back(milliseconds_between(begin, end));
  }
  std::nth_element(times.begin(), times.begin() + repeats / 2, times.end());
  return times[static_cast<std::size_t>(repeats / 2)];
}

int run_bench(const char* name, const std::function<void()>& body) {
  try {
    if (device_count() == 0) {
      fmt::print(stderr, "{}: no device: {}\n", name, why_no_device());
      return 77;
    }
    use_device({DeviceKind::cuda, 0});
    body();
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}: {}\n", name, e.what());
    return 1;
  }
}

std::string percent(double part, double whole) {
  return whole == 0 ? "-" : fmt::format("{:.1f}%", 100 * part / whole);
}

}  // namespace mixspan::bench
