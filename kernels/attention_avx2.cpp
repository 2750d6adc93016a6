#include "kernels/attention_tiles.h"

namespace mixspan::attention::avx2 {

namespace {
constexpr int kLanes = 8;
constexpr int kMicroRows = 6;     // of a product held in registers
constexpr int kMicroVectors = 2;  // in each such row
constexpr int kEdgeRows = 4;      // of scores at the edges of a span: see attention_avx512.cpp
constexpr int kEdgeVectors = 3;
#include "kernels/attention_vector.inc"
//
#include "kernels/attention_fp32.inc"
//
#include "kernels/attention_micro.inc"
//
#include "kernels/attention_body.inc"
}  // namespace

const TileKernels& tile_kernels() { return kKernels; }

}  // namespace mixspan::attention::avx2
