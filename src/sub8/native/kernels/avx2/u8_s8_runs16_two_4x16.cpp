// u8 * s8 in runs of two steps each (ternary N = 4, 1x1): tiles of 1-4 rows x 16 outputs (x86
// AVX2).
//
// Per row and run six multiplications, of which four make int16 products, are joined by four
// additions. 4 rows need 8 int32 sums, both steps' weights and four temporaries: all 16 registers,
// so the scales are operands in memory, widened beforehand.
#include "kernels/avx2/tile.h"
#include "kernels/declarations.h"
#include "kernels/tiles.h"

namespace sub8::kernels::avx2 {
namespace {

// totals += (two steps' u8 pairs * s8 pairs, in int16) * scales. In assembly for the same reason as
// the steps in tile.h.
SUB8_INLINE void multiply_two(const uint8_t* a, const uint8_t* b, __m256i a_w0, __m256i a_w1,
                              __m256i b_w0, __m256i b_w1, const int16_t* alpha, __m256i& total0,
                              __m256i& total1) {
    __m256i s0, s1, x, y;
    asm volatile(
        "vpbroadcastd %[a], %[s1]\n\t"
        "vpbroadcastd %[b], %[y]\n\t"
        "vpmaddubsw %[aw0], %[s1], %[s0]\n\t"
        "vpmaddubsw %[aw1], %[s1], %[s1]\n\t"
        "vpmaddubsw %[bw0], %[y], %[x]\n\t"
        "vpmaddubsw %[bw1], %[y], %[y]\n\t"
        "vpaddw %[x], %[s0], %[s0]\n\t"
        "vpaddw %[y], %[s1], %[s1]\n\t"
        "vpmaddwd %[alpha0], %[s0], %[s0]\n\t"
        "vpmaddwd %[alpha1], %[s1], %[s1]\n\t"
        "vpaddd %[s0], %[t0], %[t0]\n\t"
        "vpaddd %[s1], %[t1], %[t1]"
        : [t0] "+x"(total0), [t1] "+x"(total1), [s0] "=&x"(s0), [s1] "=&x"(s1), [x] "=&x"(x),
          [y] "=&x"(y)
        : [a] "m"(*reinterpret_cast<const int32_t*>(a)),
          [b] "m"(*reinterpret_cast<const int32_t*>(b)), [aw0] "x"(a_w0), [aw1] "x"(a_w1),
          [bw0] "x"(b_w0), [bw1] "x"(b_w1), [alpha0] "m"(*reinterpret_cast<const __m256i*>(alpha)),
          [alpha1] "m"(*reinterpret_cast<const __m256i*>(alpha + kPanel)));
}

template <int rows>
SUB8_INLINE void runs16_two(const TileArguments& t, const uint8_t* a, int32_t* const total) {
    const int8_t* w = static_cast<const int8_t*>(t.weights);
    const int8_t* const end = w + t.steps * 64;
    const int16_t* alpha = t.wide_alpha;
    __m256i acc[rows][2];
    read_totals(t, total, acc);
#pragma GCC unroll 1
    for (; w != end; w += 128, alpha += 2 * kPanel, a += 2 * t.pitch) {
        const uint8_t* b = a + t.pitch;
        const __m256i w0 = load(w), w1 = load(w + 32), w2 = load(w + 64), w3 = load(w + 96);
        SUB8_ROWS(multiply_two(a + 4 * r, b + 4 * r, w0, w1, w2, w3, alpha, acc[r][0], acc[r][1]);)
    }
    write_totals(acc, total);
}

}  // namespace

const TileKernels u8_s8_runs16_two_4x16 = SUB8_TILES_4(runs16_two);

}  // namespace sub8::kernels::avx2
