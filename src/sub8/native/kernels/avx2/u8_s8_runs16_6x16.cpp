// u8 * s8 in runs, int16 sums: tiles of 1-6 rows x 16 outputs (x86 AVX2).
//
// Inner step, per row: two vpmaddubsw with the step's two weight vectors and two vpaddw. 6 rows
// need 12 accumulators, 2 weight vectors, a broadcast and a product: all 16 registers, so int32
// sums live in memory and are visited once a run.
#include "kernels/avx2/tile.h"
#include "kernels/declarations.h"
#include "kernels/tiles.h"

namespace sub8::kernels::avx2 {
namespace {

SUB8_INLINE void add_scaled(int32_t* total, __m256i sums, __m256i alpha) {
    store(total, _mm256_add_epi32(_mm256_madd_epi16(sums, alpha), load(total)));
}

template <int rows>
SUB8_INLINE void runs16(const TileArguments& t, const uint8_t* a, int32_t* const total) {
    Runs runs(t);
    const int8_t*& w = runs.w;
    bool first = t.first;
    for (; runs.steps != runs.end; ++runs.steps, runs.alpha += 2 * kPanel) {
        const int8_t* const end = w + *runs.steps * 64;
        __m256i s[rows][2];
        start_step(a, w, s);
        a += t.pitch;
        w += 64;
        const auto step = [&]() SUB8_INLINE_LAMBDA {
            add_step(a, w, s);
            a += t.pitch;
            w += 64;
        };
        if ((*runs.steps & 1) == 0) step();
#pragma GCC unroll 1
        while (w != end) {
            step();
            step();
        }
        const __m256i alpha0 = load_alpha(runs.alpha);
        const __m256i alpha1 = load_alpha(runs.alpha + kPanel);
        if (first) {
            SUB8_ROWS(store(total + r * kPanel, _mm256_madd_epi16(s[r][0], alpha0));
                      store(total + r * kPanel + 8, _mm256_madd_epi16(s[r][1], alpha1));)
        } else {
            SUB8_ROWS(add_scaled(total + r * kPanel, s[r][0], alpha0);
                      add_scaled(total + r * kPanel + 8, s[r][1], alpha1);)
        }
        first = false;
    }
}

}  // namespace

const TileKernels u8_s8_runs16_6x16 = SUB8_TILES_6(runs16);

}  // namespace sub8::kernels::avx2
