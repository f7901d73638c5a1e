// 8-bit dot products (vpdpbusd): tiles of 1-6 rows x 16 outputs (x86 AVX2 with VNNI).
//
// 12 sums, 2 weight vectors and a broadcast take 15 of 16 registers.
#include <immintrin.h>

#include "kernels/avx2/tile.h"
#include "kernels/declarations.h"
#include "kernels/tile_rows.h"
#include "kernels/tiles.h"

namespace sub8::kernels::avxvnni {
namespace {

using namespace avx2;

// The first scales of 8 outputs, as int32.
SUB8_INLINE __m256i first_alpha(const uint8_t* from) {
    return _mm256_and_si256(load_alpha(from), _mm256_set1_epi32(0xff));
}
SUB8_INLINE __m256i add(__m256i a, __m256i b) { return _mm256_add_epi32(a, b); }
SUB8_INLINE __m256i multiply(__m256i a, __m256i b) { return _mm256_mullo_epi32(a, b); }
SUB8_INLINE __m256i multiply_add_pairs(__m256i sum, __m256i a, __m256i b) {
    return _mm256_dpwssd_avx_epi32(sum, a, b);
}

#define SUB8_VNNI_PREFIX "%{vex%} "
#define SUB8_VNNI_REGISTER "x"
#define SUB8_VNNI_RUNS
#include "kernels/vnni.inl"

template <int rows>
SUB8_INLINE void dotruns_short(const TileArguments& t, const uint8_t* a, int32_t* total) {
    dotruns_of<rows, true>(t, a, total);
}

}  // namespace

const TileKernels u8_s8_dot_6x16 = SUB8_TILES_APART_6(dot);
const TileKernels u8_s8_dotruns_6x16 = SUB8_TILES_APART_6(dotruns);
const TileKernels u8_s8_dotruns_short_6x16 = SUB8_TILES_APART_6(dotruns_short);

}  // namespace sub8::kernels::avxvnni
