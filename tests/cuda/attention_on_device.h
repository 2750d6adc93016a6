// Attention on a device, the oracle on the same inputs, and a plain bf16 attention whose error says
// how large a device kernel's may be.
#pragma once

#include <string>

#include "tests/cuda/device_test.h"
#include "tests/kernels/attention_cases.h"

namespace mixspan::test {

/// f32 on the host; q, k, v and do_ hold numbers of the dtype that the device is given.
struct AttentionInputs {
  Tensor q, k, v, do_, start;  ///< start: document starts, or empty
  AnySpan span;
  float scale = 0.2f;
  std::int64_t first_query = 0, first_key = 0;

  AttentionInputs(const AttentionSize& size, const AnySpan& span, DType dtype);
  AttentionRule rule(ConstView document_start) const {
    return {span, scale, document_start, first_query, first_key};
  }
  AttentionRule rule() const { return rule(start.size() == 1 ? ConstView() : start.view()); }
};

/// f32, on the host.
struct AttentionOutputs {
  Tensor o, lse, dq, dk, dv;
};

class AttentionDeviceTest : public DeviceTest {
 protected:
  /// Forward, then backward from its o and lse. Outputs are full of NaN before.
  AttentionOutputs run_on_device(const Exec& ex, const AttentionInputs& in, DType dtype) const;
};
/// In fp64: the definition.
AttentionOutputs run_oracle(const AttentionInputs& in);
/// Plain loops with sums in fp32, weights and score gradients rounded to bf16 before they are
/// multiplied, results rounded to bf16.
AttentionOutputs run_baseline(const AttentionInputs& in);

/// Empty when the outputs in bf16 are as near to the oracle as the baseline lets one expect, else
/// what is not.
std::string bf16_differs(const AttentionOutputs& got, const AttentionInputs& in);
/// Empty when those in f32 are within the tolerances of attention.
std::string f32_differs(const AttentionOutputs& got, const AttentionInputs& in);
/// Empty when all bits are the same.
std::string outputs_bits_differ(const AttentionOutputs& a, const AttentionOutputs& b);

}  // namespace mixspan::test
