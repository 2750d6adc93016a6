// What tests of device kernels share. They are built twice: test_emulated runs them on emulated
// devices, everywhere; test_cuda on the real one, and skips them where there is none.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/copy.h"
#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::test {

// ---- of the flavour: real/flavour.cpp, emulated/flavour.cpp
// --------------------------------------

/// Whether kernels run on an emulated device.
bool emulated();
/// Calls body() under several orders in which an emulated device may run threads and blocks, with a
/// note of the order in every failure; on a real device once.
void in_every_order(const std::function<void()>& body);
/// Lets the emulated device have this compute capability until restore_capability(). False where
/// the real device has another.
bool with_capability(int major, int minor);
void restore_capability();
/// Lets timings on the emulated device find this one of its two ways to multiply the fastest
/// (tests/emulation/kernels/gemm_emulated.cpp). False on a real device, whose timings are its own.
bool let_a_timing_prefer(int algorithm);
/// How many blocks of a launch are in flight together on the emulated device, as a kernel needs
/// whose blocks wait for each other. Nothing on a real one.
void run_blocks_at_once(int n);
/// Whether products of the emulated device want all matrices at multiples of 16 bytes. Nothing on a
/// real one.
void want_aligned_products(bool want);

// ---- the fixture --------------------------------------------------------------------------------

/// An Exec on the first device, with a stream and a scratch arena whose memory is poisoned.
class DeviceTest : public ::testing::Test {
 protected:
  DeviceTest();
  ~DeviceTest() override;
  void SetUp() override;
  void TearDown() override;

  Exec exec() const;
  Device device() const { return {DeviceKind::cuda, 0}; }
  bool has_device() const { return parts_ != nullptr; }
  /// Skips the test, or lets it run as on a device of this capability.
  void require_capability(int major, int minor);

  /// A copy on the device.
  Tensor upload(const ConstView& host) const;
  /// A tensor on the device whose every element is a NaN, so that an output that is not fully
  /// overwritten shows.
  Tensor poisoned(Shape shape, DType dtype = DType::f32) const;
  /// A copy on the host, after all work of the stream.
  Tensor download(const ConstView& on_device) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// f32 values rounded to `dtype` and back to f32: what a kernel that stores `dtype` is given, for
/// an oracle that computes in f32 or f64.
Tensor rounded_to(DType dtype, const ConstView& f32);
/// The elements as another dtype (f32, bf16, f64), rounded to nearest even.
Tensor as_dtype(DType dtype, const ConstView& v);

}  // namespace mixspan::test
