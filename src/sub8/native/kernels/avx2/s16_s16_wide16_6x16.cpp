// int16 * int16 pairs into int32 (vpmaddwd): tiles of 1-6 rows x 16 outputs (x86 AVX2).
//
// Exact for every 8-bit weight, where u8 * s8 pairs (vpmaddubsw) would saturate, and as many
// multiply instructions as the usual vpmaddubsw + vpmaddwd with ones.
#include "kernels/avx2/tile.h"
#include "kernels/declarations.h"
#include "kernels/tile_rows.h"
#include "kernels/tiles.h"

namespace sub8::kernels::avx2 {
namespace {

template <int rows>
SUB8_INLINE void wide16(const TileArguments& t, const uint8_t* a, int32_t* total) {
    const int16_t* w = static_cast<const int16_t*>(t.weights);
    const int16_t* const end = w + t.steps * 32;
    TileRows<rows> x(t, a);
    __m256i acc[rows][2];
    if (t.first) {
        const __m256i w0 = load(w);
        const __m256i w1 = load(w + 16);
        SUB8_ROWS(start_wide(x.template row<r>(), w0, w1, acc[r][0], acc[r][1]);)
        x.advance(t.pitch);
        w += 32;
    } else {
        read_totals(t, total, acc);
    }
    const auto step = [&]() SUB8_INLINE_LAMBDA {
        const __m256i w0 = load(w);
        const __m256i w1 = load(w + 16);
        SUB8_ROWS(multiply_wide(x.template row<r>(), w0, w1, acc[r][0], acc[r][1]);)
        x.advance(t.pitch);
        w += 32;
    };
    if ((end - w) % 64 != 0) step();
#pragma GCC unroll 1
    while (w != end) {
        step();
        step();
    }
    write_totals(acc, total);
}

}  // namespace

const TileKernels s16_s16_wide16_6x16 = SUB8_TILES_APART_6(wide16);

}  // namespace sub8::kernels::avx2
