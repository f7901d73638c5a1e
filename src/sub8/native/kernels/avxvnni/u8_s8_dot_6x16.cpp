// 8-bit dot products (vpdpbusd): tiles of 1-6 rows x 16 outputs (x86 AVX2 with VNNI).
//
// 12 sums, 2 weight vectors and a broadcast take 15 of 16 registers, so the totals of dotruns live
// in memory and are visited once a run.
#include <immintrin.h>

#include "kernels/avx2/tile.h"
#include "kernels/declarations.h"
#include "kernels/tile_rows.h"
#include "kernels/tiles.h"

namespace sub8::kernels::avxvnni {
namespace {

using namespace avx2;

// The first scales of 8 outputs, as int32.
inline __m256i load_first_alpha(const uint8_t* from) {
    return _mm256_and_si256(load_alpha(from), _mm256_set1_epi32(0xff));
}

#define SUB8_VNNI_PREFIX "%{vex%} "
#define SUB8_VNNI_REGISTER "x"
#include "kernels/vnni.inl"

// total += sums * scales; `fits16`: the sums fit int16, so that one vpdpwssd does it.
template <bool fits16>
SUB8_INLINE void add_scaled(int32_t* total, __m256i sums, __m256i scale, bool first) {
    const __m256i before = first ? _mm256_setzero_si256() : load(total);
    if constexpr (fits16) {
        store(total, _mm256_dpwssd_avx_epi32(before, sums, scale));
    } else {
        store(total, _mm256_add_epi32(before, _mm256_mullo_epi32(sums, scale)));
    }
}

template <int rows, bool fits16>
SUB8_INLINE void dotruns_of(const TileArguments& t, const uint8_t* a, int32_t* total) {
    bool first = t.first;
    for_each_run<rows>(t, a, [&](const Tile<rows>& sum, const uint8_t* alpha) SUB8_INLINE_LAMBDA {
        const __m256i alpha0 = load_first_alpha(alpha);
        const __m256i alpha1 = load_first_alpha(alpha + kPanel);
        SUB8_ROWS(add_scaled<fits16>(total + r * kPanel, sum.v[r][0], alpha0, first);
                  add_scaled<fits16>(total + r * kPanel + 8, sum.v[r][1], alpha1, first);)
        first = false;
    });
}

}  // namespace

const TileKernels u8_s8_dot_6x16 = SUB8_TILES_APART_6(dot);
const TileKernels u8_s8_dotruns_6x16 = SUB8_TILES_APART_6(dotruns);
const TileKernels u8_s8_dotruns_short_6x16 = SUB8_TILES_APART_6(dotruns_short);

}  // namespace sub8::kernels::avxvnni
