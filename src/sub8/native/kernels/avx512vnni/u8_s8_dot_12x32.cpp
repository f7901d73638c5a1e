// 8-bit dot products (vpdpbusd): tiles of 1-12 rows x 32 outputs (x86 AVX-512 with VNNI).
//
// 12 rows x 2 vectors are 24 independent sums: twice what covers the instruction's latency at two a
// cycle, so that a loop's loads, its end and its neighbours' find room beside them. With a vector
// of activations and two of weights 27 of 32 registers.
#include "kernels/avx512vnni/lanes512.h"
#include "kernels/declarations.h"
#include "kernels/tile_rows.h"
#include "kernels/tiles.h"

namespace sub8::kernels::avx512vnni {
namespace {

using Lanes = Lanes512;

#define SUB8_VNNI_PREFIX ""
#define SUB8_VNNI_REGISTER "v"
#include "kernels/dotruns.inl"

// The totals in registers, which leaves them to six rows: from memory they would cost more than
// larger tiles gain, in runs of 16 steps 440 / 354 of the time of a plain sum instead of 440 / 378.
template <int rows>
SUB8_INLINE void dotruns_short(const TileArguments& t, const uint8_t* a, int32_t* total) {
    Tile<rows> acc;
    start_totals(t, total, acc);
    for_each_run<rows>(t, a, [&](const Tile<rows>& sum, const uint8_t* alpha) SUB8_INLINE_LAMBDA {
        const __m512i alpha0 = first_alpha(alpha);
        const __m512i alpha1 = first_alpha(alpha + kPanel);
        SUB8_ROWS(acc.v[r][0] = Lanes::add_product(acc.v[r][0], sum.v[r][0], alpha0);
                  acc.v[r][1] = Lanes::add_product(acc.v[r][1], sum.v[r][1], alpha1);)
    });
    acc.write(total);
}

}  // namespace

const TileKernels u8_s8_dot_12x32 = SUB8_TILES_APART_12(dot);
const TileKernels u8_s8_dotruns_12x32 = SUB8_TILES_APART_12(dotruns);
const TileKernels u8_s8_dotruns_short_6x32 = SUB8_TILES_APART_6(dotruns_short);

}  // namespace sub8::kernels::avx512vnni
