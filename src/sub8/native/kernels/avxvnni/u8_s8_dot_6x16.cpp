// 8-bit dot products (vpdpbusd): tiles of 1-6 rows x 16 outputs (x86 AVX2 with VNNI).
//
// 12 sums, 2 weight vectors and a broadcast take 15 of 16 registers.
#include <immintrin.h>

#include "kernels/avx2/tile.h"
#include "kernels/avxvnni/lanes256.h"
#include "kernels/declarations.h"
#include "kernels/tile_rows.h"
#include "kernels/tiles.h"

namespace sub8::kernels::avxvnni {
namespace {

using namespace avx2;

using Lanes = avxvnni::Lanes256;

#define SUB8_VNNI_PREFIX "%{vex%} "
#define SUB8_VNNI_REGISTER "x"
#include "kernels/dotruns.inl"

template <int rows>
SUB8_INLINE void dotruns_short(const TileArguments& t, const uint8_t* a, int32_t* total) {
    dotruns_of<rows, true>(t, a, total);
}

}  // namespace

const TileKernels u8_s8_dot_6x16 = SUB8_TILES_APART_6(dot);
const TileKernels u8_s8_dotruns_6x16 = SUB8_TILES_APART_6(dotruns);
const TileKernels u8_s8_dotruns_short_6x16 = SUB8_TILES_APART_6(dotruns_short);

}  // namespace sub8::kernels::avxvnni
