// 8-bit dot products (vpdpbusd): tiles of 1-12 rows x 32 outputs (x86 AVX-512 with VNNI).
//
// 6 rows x 2 vectors are 12 independent sums, enough to cover the instruction's latency at two a
// cycle; with the totals of dotruns, 27 of 32 registers.
#include "kernels/avx512vnni/vectors.h"
#include "kernels/declarations.h"
#include "kernels/tile_rows.h"
#include "kernels/tiles.h"

namespace sub8::kernels::avx512vnni {
namespace {

#define SUB8_VNNI_PREFIX ""
#define SUB8_VNNI_REGISTER "v"
#include "kernels/vnni.inl"

template <bool fits16>
SUB8_INLINE void add_scaled(__m512i& total, __m512i sums, __m512i scale) {
    if constexpr (fits16) {
        total = _mm512_dpwssd_epi32(total, sums, scale);
    } else {
        total = _mm512_add_epi32(total, _mm512_mullo_epi32(sums, scale));
    }
}

// `fits16`: the sums of a run fit int16, so that one vpdpwssd multiplies them and adds them to the
// totals.
template <int rows, bool fits16>
SUB8_INLINE void dotruns_of(const TileArguments& t, const uint8_t* a, int32_t* total) {
    Tile<rows> acc;
    start_totals(t, total, acc);
    for_each_run<rows>(t, a, [&](const Tile<rows>& sum, const uint8_t* alpha) SUB8_INLINE_LAMBDA {
        const __m512i alpha0 = load_alpha(alpha);
        const __m512i alpha1 = load_alpha(alpha + kPanel);
        SUB8_ROWS(add_scaled<fits16>(acc.v[r][0], sum.v[r][0], alpha0);
                  add_scaled<fits16>(acc.v[r][1], sum.v[r][1], alpha1);)
    });
    acc.write(total);
}

}  // namespace

const TileKernels u8_s8_dot_12x32 = SUB8_TILES_APART_12(dot);
const TileKernels u8_s8_dotruns_6x32 = SUB8_TILES_APART_6(dotruns);
const TileKernels u8_s8_dotruns_short_6x32 = SUB8_TILES_APART_6(dotruns_short);

}  // namespace sub8::kernels::avx512vnni
