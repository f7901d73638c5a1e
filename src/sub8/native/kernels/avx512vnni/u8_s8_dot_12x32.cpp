// 8-bit dot products (vpdpbusd): tiles of 1-12 rows x 32 outputs (x86 AVX-512 with VNNI).
//
// 12 rows x 2 vectors are 24 independent sums: twice what covers the instruction's latency at two a
// cycle, so that a loop's loads, its end and its neighbours' find room beside them. With a vector
// of activations and two of weights 27 of 32 registers.
#include "kernels/avx512vnni/vectors.h"
#include "kernels/declarations.h"
#include "kernels/tile_rows.h"
#include "kernels/tiles.h"

namespace sub8::kernels::avx512vnni {
namespace {

SUB8_INLINE __m512i first_alpha(const uint8_t* from) { return load_alpha(from); }
SUB8_INLINE __m512i add(__m512i a, __m512i b) { return _mm512_add_epi32(a, b); }
SUB8_INLINE __m512i multiply(__m512i a, __m512i b) { return _mm512_mullo_epi32(a, b); }
SUB8_INLINE __m512i multiply_add_pairs(__m512i sum, __m512i a, __m512i b) {
    return _mm512_dpwssd_epi32(sum, a, b);
}

#define SUB8_VNNI_PREFIX ""
#define SUB8_VNNI_REGISTER "v"
#define SUB8_VNNI_RUNS
#include "kernels/vnni.inl"

}  // namespace

const TileKernels u8_s8_dot_12x32 = SUB8_TILES_APART_12(dot);
const TileKernels u8_s8_dotruns_12x32 = SUB8_TILES_APART_12(dotruns);
const TileKernels u8_s8_dotruns_short_12x32 = SUB8_TILES_APART_12(dotruns_short);

}  // namespace sub8::kernels::avx512vnni
