// The plain attention of a device against the oracle, in f32 and bf16; decoding; the choice of the
// kernel.
#include <cmath>

#include "kernels/cuda/attention_choice.h"
#include "tests/cuda/attention_on_device.h"
#include "tests/support/close.h"

namespace mixspan::test {
namespace {

class AttentionNaive : public AttentionDeviceTest {
 protected:
  AttentionOutputs run(const AttentionInputs& in, DType dtype) const {
    Exec ex = exec();
    ex.attention = AttentionKernel::naive;
    return run_on_device(ex, in, dtype);
  }
  std::string differs(const AttentionInputs& in, DType dtype) const {
    const AttentionOutputs out = run(in, dtype);
    return dtype == DType::f32 ? f32_differs(out, in) : bf16_differs(out, in);
  }
};

TEST_F(AttentionNaive, EqualsTheOracleForEverySpanAndLengthSlow) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const std::int64_t T : {1, 37, 129}) {
      for (const AnySpan& span : awkward_spans(T)) {
        const AttentionSize size{1, T, T, 1, 1, 13};
        SCOPED_TRACE(size.str() + " " + span.str());
        EXPECT_EQ(differs(AttentionInputs(size, span, dtype), dtype), "");
      }
    }
  }
}

TEST_F(AttentionNaive, EqualsTheOracleWithinDocumentsAndOverRectangles) {
  for (const AnySpan& span :
       {AnySpan(FullSpan{}), AnySpan(SlidingSpan{30}), AnySpan(BlockSpan{20, 1})}) {
    AttentionInputs in({2, 70, 70, 4, 2, 40}, span, DType::f32);
    in.start = documents(2, 70, {20, 1, 30});
    EXPECT_EQ(differs(in, DType::f32), "") << span.str();
    for (const auto& [query, key] : {std::pair{60, 0}, {40, 40}, {90, 50}, {200, 3}}) {
      AttentionInputs part({1, 50, 60, 2, 1, 16}, span, DType::f32);
      part.first_query = query;
      part.first_key = key;
      EXPECT_EQ(differs(part, DType::f32), "") << span.str() << " " << query << " " << key;
    }
  }
}

TEST_F(AttentionNaive, TheSameBitsInEveryOrderOfThreadsAndBlocks) {
  const AttentionInputs in({1, 140, 140, 2, 1, 16}, SlidingSpan{50}, DType::f32);
  const AttentionOutputs first = run(in, DType::f32);
  in_every_order([&] { EXPECT_EQ(outputs_bits_differ(run(in, DType::f32), first), ""); });
}

TEST_F(AttentionNaive, DecodingIsAttentionOverTheVisibleRowsOfTheCache) {
  const std::int64_t B = 2, S = 150, N = 4, K = 2, H = 24;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    // Rows that are not visible hold NaN: a cache that is not full yet.
    AttentionInputs in({B, 1, 100, N, K, H}, FullSpan{}, dtype);
    in.first_query = 99;
    Tensor k = poisoned_tensor({B, S, K, H}), v = poisoned_tensor({B, S, K, H});
    Tensor visible({S}, DType::u8);
    for (std::int64_t s = 0; s < S; ++s) {
      if (s % 3 == 0) continue;  // of 150 rows, 100 are visible
      const std::int64_t from = s / 3 * 2 + s % 3 - 1;
      visible.data<std::uint8_t>()[s] = 1;
      for (std::int64_t b = 0; b < B; ++b) {
        std::copy_n(in.k.data<float>() + (b * 100 + from) * K * H, K * H,
                    k.data<float>() + (b * S + s) * K * H);
        std::copy_n(in.v.data<float>() + (b * 100 + from) * K * H, K * H,
                    v.data<float>() + (b * S + s) * K * H);
      }
    }
    Tensor o = poisoned({B, N, H}, dtype);
    attention_decode(exec(), o, upload(as_dtype(dtype, in.q)).view().reshape({B, N, H}),
                     upload(as_dtype(dtype, k)), upload(as_dtype(dtype, v)), upload(visible),
                     in.scale);
    const Tensor got = as_dtype(DType::f32, download(o)), want = run_oracle(in).o;
    const ConstView as_rows = got.view().reshape({B, 1, N, H});
    if (dtype == DType::f32) {
      EXPECT_EQ(test::differs(as_rows, want, kAttentionForward), "");
    } else {
      EXPECT_EQ(worse_than_baseline(as_rows, run_baseline(in).o, want), "");
    }
  }
}

cuda::AttentionNeeds on_ampere() {
  return {.dtype = DType::bf16,
          .head_size = 64,
          .major = 8,
          .minor = 0,
          .shared_bytes = std::size_t{163} << 10};
}

TEST(AttentionChoice, TakesTheFastestThatCanOrTheOneWishedFor) {
  using enum AttentionKernel;
  const cuda::AttentionNeeds ampere = on_ampere();
  EXPECT_EQ(cuda::chosen_attention(automatic, ampere), mma);
  EXPECT_EQ(cuda::chosen_attention(naive, ampere), naive);
  cuda::AttentionNeeds odd = ampere;
  odd.head_size = 40;
  EXPECT_EQ(cuda::chosen_attention(automatic, odd), naive);
  cuda::AttentionNeeds f32 = ampere;
  f32.dtype = DType::f32;
  EXPECT_EQ(cuda::chosen_attention(automatic, f32), naive);
  cuda::AttentionNeeds unaligned = ampere;
  unaligned.aligned = false;
  EXPECT_EQ(cuda::chosen_attention(automatic, unaligned), naive);
}

TEST(AttentionChoice, AWishThatCannotBeMetIsRefusedWithWhatWouldWork) {
  using enum AttentionKernel;
  cuda::AttentionNeeds needs = on_ampere();
  needs.head_size = 40;
  const std::string odd = refusal([&] { cuda::chosen_attention(mma, needs); });
  EXPECT_NE(odd.find("kernels.attention = \"mma\""), std::string::npos) << odd;
  EXPECT_NE(odd.find("32, 64, 96 and 128"), std::string::npos) << odd;
  EXPECT_NE(odd.find("auto, naive"), std::string::npos) << odd;
  needs = on_ampere();
  needs.dtype = DType::f32;
  const std::string f32 = refusal([&] { cuda::chosen_attention(mma, needs); });
  EXPECT_NE(f32.find("bf16"), std::string::npos) << f32;
}

// Compute capability 8.6 and 8.9: less shared memory than the kernels for wide heads need.
TEST(AttentionChoice, KnowsWhatFitsIntoTheSharedMemoryOfADevice) {
  using enum AttentionKernel;
  cuda::AttentionNeeds needs = on_ampere();
  needs.minor = 6;
  needs.shared_bytes = std::size_t{99} << 10;
  for (const std::int64_t H : {32, 64, 96}) {
    needs.head_size = H;
    EXPECT_EQ(cuda::chosen_attention(automatic, needs), mma) << H;
  }
  needs.head_size = 128;
  EXPECT_EQ(cuda::chosen_attention(automatic, needs), naive);
  EXPECT_EQ(refusal([&] { cuda::chosen_attention(mma, needs); }),
            "kernels.attention = \"mma\": for heads of 128 channels it needs 131 KiB of shared "
            "memory, a block of this device has 99; here would work: auto, naive");
  needs.shared_bytes = cuda::mma_shared_bytes(128);
  EXPECT_EQ(cuda::chosen_attention(automatic, needs), mma);
}

TEST_F(AttentionNaive, WhatTheFastKernelsCannotHoldIsComputedAllTheSame) {
  require_capability(8, 6);
  for (const std::int64_t H : {96, 128}) {
    const AttentionInputs in({1, 40, 40, 1, 1, H}, SlidingSpan{20}, DType::bf16);
    EXPECT_EQ(bf16_differs(run_on_device(exec(), in, DType::bf16), in), "") << H;
  }
}

}  // namespace
}  // namespace mixspan::test
