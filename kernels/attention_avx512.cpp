#include "kernels/attention_tiles.h"

namespace mixspan::attention::avx512 {

namespace {
constexpr int kLanes = 16;
constexpr int kMicroRows = 6;     // of a product held in registers
constexpr int kMicroVectors = 4;  // in each such row
// Of scores at the edges of a span: as many rows as a half vector has keys, so that where a row's
// keys begin or end one further than the row's before, no half vector is computed in vain.
constexpr int kEdgeRows = 8;
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

}  // namespace mixspan::attention::avx512
