// u8 * s8 in runs, int16 sums, where runs are short: tiles of 1-3 rows x 16 outputs (x86 AVX2),
// whose int32 sums stay in registers beside the int16 ones.
#include "kernels/avx2/tile.h"
#include "kernels/declarations.h"
#include "kernels/tiles.h"

namespace sub8::kernels::avx2 {
namespace {

template <int rows>
SUB8_INLINE void runs16_short(const TileArguments& t, const uint8_t* a, int32_t* const total) {
    Runs runs(t);
    const int8_t*& w = runs.w;
    __m256i acc[rows][2];
    read_totals(t, total, acc);
    for (; runs.steps != runs.end; ++runs.steps, runs.alpha += 2 * kPanel) {
        const int8_t* const end = w + *runs.steps * 64;
        __m256i s[rows][2];
        start_step(a, w, s);
        a += t.pitch;
#pragma GCC unroll 1
        for (w += 64; w != end; w += 64) {
            add_step(a, w, s);
            a += t.pitch;
        }
        const __m256i alpha0 = load_alpha(runs.alpha);
        const __m256i alpha1 = load_alpha(runs.alpha + kPanel);
        SUB8_ROWS(scale_sums(alpha0, alpha1, s[r][0], s[r][1], acc[r][0], acc[r][1]);)
    }
    write_totals(acc, total);
}

}  // namespace

const TileKernels u8_s8_runs16_short_3x16 = SUB8_TILES_3(runs16_short);

}  // namespace sub8::kernels::avx2
