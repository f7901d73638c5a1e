// Winograd transforms (x86 AVX2); what they compute: kernels/winograd.h.
#include "kernels/winograd.h"

#include <cstring>

#include "kernels/avx2/tile.h"
#include "kernels/avx2/transpose.h"
#include "kernels/declarations.h"

namespace sub8::kernels::avx2 {
namespace {

// Unsigned, so that arithmetic wraps around.
typedef uint16_t Words __attribute__((vector_size(32)));
typedef uint32_t Totals __attribute__((vector_size(32)));

// F(outputs, taps) in one direction.
template <int outputs, int taps>
struct Filter;

template <>
struct Filter<2, 3> {
    static constexpr int shift = 1;
    static constexpr uint32_t odd_inverse = 1;
    static SUB8_INLINE void input(const Words (&d)[4], Words (&v)[4]) {
        v[0] = d[0] - d[2];
        v[1] = d[1] + d[2];
        v[2] = d[2] - d[1];
        v[3] = d[1] - d[3];
    }
    static SUB8_INLINE Words kernel(const Words (&g)[3], int point) {
        if (point == 0) return g[0];
        if (point == 1) return g[0] + g[2] + g[1];
        if (point == 2) return g[0] + g[2] - g[1];
        return g[2];
    }
    static SUB8_INLINE void output(const Totals (&p)[4], Totals (&y)[2]) {
        y[0] = (p[0] + p[0]) + (p[1] + p[2]);
        y[1] = (p[1] - p[2]) - (p[3] + p[3]);
    }
};

// KernelSet at the points 0, 1, -1, 2, -2 and infinity are 4, -6, -6, 24, 24 times and once too
// large.
struct SixPoints {
    static constexpr int shift = 3;
    static constexpr uint32_t odd_inverse = 0xaaaaaaab;  // 3 * 0xaaaaaaab = 1 modulo 2^32
    static SUB8_INLINE void input(const Words (&d)[6], Words (&v)[6]) {
        const Words even = d[4] - (d[2] << 2), odd = d[3] - (d[1] << 2);
        const Words even2 = d[4] - d[2], odd2 = (d[3] - d[1]) << 1;
        v[0] = (d[0] << 2) - d[2] + even;
        v[1] = even + odd;
        v[2] = even - odd;
        v[3] = even2 + odd2;
        v[4] = even2 - odd2;
        v[5] = d[5] - d[3] - (odd2 << 1);
    }
    // 24 times the products' sums weighted by 1, p, p^2 and p^3, p the point; infinity counts
    // extra.
    static SUB8_INLINE void moments(const Totals (&p)[6], Totals (&y)[4]) {
        const Totals sum1 = p[1] + p[2], difference1 = (p[1] - p[2]) << 2;
        const Totals sum2 = p[3] + p[4], difference2 = (p[3] - p[4]) << 1;
        y[0] = (p[0] << 2) + (p[0] << 1) + sum2 - (sum1 << 2);
        y[1] = difference2 - difference1;
        y[2] = (sum2 - sum1) << 2;
        y[3] = (difference2 << 2) - difference1;
    }
    static SUB8_INLINE Totals infinity(const Totals (&p)[6]) { return (p[5] << 4) + (p[5] << 3); }
};

template <>
struct Filter<4, 3> : SixPoints {
    static SUB8_INLINE Words kernel(const Words (&g)[3], int point) {
        if (point == 0) return g[0];
        if (point == 1) return g[0] + g[2] + g[1];
        if (point == 2) return g[0] + g[2] - g[1];
        if (point == 3) return g[0] + (g[2] << 2) + (g[1] + g[1]);
        if (point == 4) return g[0] + (g[2] << 2) - (g[1] + g[1]);
        return g[2];
    }
    static SUB8_INLINE void output(const Totals (&p)[6], Totals (&y)[4]) {
        moments(p, y);
        y[3] += infinity(p);
    }
};

template <>
struct Filter<3, 4> : SixPoints {
    static SUB8_INLINE void output(const Totals (&p)[6], Totals (&y)[3]) {
        Totals all[4];
        moments(p, all);
        y[0] = all[0];
        y[1] = all[1];
        y[2] = all[2] + infinity(p);
    }
};

// edge: its points lie on the grid of tiles of 4x4.
template <int rows, int columns, int taps, bool edge = false>
struct Form {
    using Down = Filter<rows, taps>;
    using Across = Filter<columns, taps>;
    static constexpr int points_down = rows + taps - 1;
    static constexpr int points_across = columns + taps - 1;
    static constexpr int shift = Down::shift + Across::shift;
    static constexpr uint32_t odd_inverse = Down::odd_inverse * Across::odd_inverse;

    // Number of a point.
    static constexpr int at(int down, int across) {
        if (!edge) return down * points_across + across;
        if (rows == 2 && down == 3) down = 5;
        if (columns == 2 && across == 3) across = 5;
        return down * 6 + across;
    }

    // 16 channels of one tile: [points][16].
    static SUB8_INLINE void input_tile(const uint8_t* from, ptrdiff_t pitch, ptrdiff_t column,
                                       __m128i flip, Words* out, ptrdiff_t out_pitch) {
        Words half[points_across][points_down];
#pragma GCC unroll 6
        for (int i = 0; i < points_down; ++i) {
            Words d[points_across], v[points_across];
#pragma GCC unroll 6
            for (int j = 0; j < points_across; ++j) {
                const uint8_t* at = from + i * pitch + j * column;
                const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
                d[j] = Words(_mm256_cvtepu8_epi16(_mm_xor_si128(bytes, flip)));
            }
            Across::input(d, v);
#pragma GCC unroll 6
            for (int j = 0; j < points_across; ++j) half[j][i] = v[j];
        }
#pragma GCC unroll 6
        for (int j = 0; j < points_across; ++j) {
            Words v[points_down];
            Down::input(half[j], v);
#pragma GCC unroll 6
            for (int i = 0; i < points_down; ++i) out[(i * points_across + j) * out_pitch] = v[i];
        }
    }

    static void input(const WinogradInput& w) {
        constexpr int points = points_down * points_across;
        const __m128i flip = _mm_set1_epi8(char(w.flip));
        for (int tile = 0; tile < w.tiles; tile += 8) {
            const int tiles = w.tiles - tile < 8 ? w.tiles - tile : 8;
            for (int channel = 0; channel < w.channels; channel += kWinogradChannels) {
                Words values[points][8];
                for (int t = 0; t < tiles; ++t) {
                    const uint8_t* from =
                        w.input + ptrdiff_t(tile + t) * columns * w.channels + channel;
                    input_tile(from, w.pitch, w.channels, flip, &values[0][t], 8);
                }
                for (int p = 0; p < points; ++p) {
                    uint32_t* const out = w.out + channel / 2 * w.pair_pitch + tile +
                                          at(p / points_across, p % points_across) * w.point_pitch;
                    if (edge && columns == 2) {
                        for (int q = 0; q < 8; ++q) {
                            std::memcpy(out + q * w.pair_pitch,
                                        reinterpret_cast<const uint32_t*>(&values[p][0]) + q, 4);
                        }
                        continue;
                    }
                    __m256i v[8];
                    for (int t = 0; t < 8; ++t)
                        v[t] = __m256i(values[p][t < tiles ? t : tiles - 1]);
                    transpose(v);
                    for (int q = 0; q < 8; ++q) store_unaligned(out + q * w.pair_pitch, v[q]);
                }
            }
        }
    }

    // 8 outputs of one pair of channels. Column by column, which the registers hold.
    static SUB8_INLINE void weights_pair(const Words (&g)[3][3], int16_t* out,
                                         ptrdiff_t point_pitch) {
#pragma GCC unroll 6
        for (int j = 0; j < points_across; ++j) {
            const Words column[3] = {Across::kernel(g[0], j), Across::kernel(g[1], j),
                                     Across::kernel(g[2], j)};
#pragma GCC unroll 6
            for (int i = 0; i < points_down; ++i)
                store(out + (i * points_across + j) * point_pitch,
                      __m256i(Down::kernel(column, i)));
        }
    }

    static void weights(const WinogradWeights& w) {
        const __m256i one = _mm256_set1_epi16(1);
        // Two codes of each four to the upper bytes of words; zero-extended scales to both words.
        const __m256i first_codes =
            _mm256_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1, 0, -1, 1,
                             -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13);
        const __m256i last_codes = _mm256_add_epi8(
            first_codes, _mm256_setr_epi8(0, 2, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2, 0,
                                          2, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2));
        const int halves = w.lanes / 2;
        const ptrdiff_t step = ptrdiff_t(kPanel) * w.lanes;
        for (int slot = 0; slot < w.slots; ++slot) {
            const int8_t* const codes = w.codes + slot * 9 * step;
            for (int part = 0; part < 2; ++part) {  // outputs 0-7, 8-15
                const __m256i scales =
                    w.alpha == nullptr
                        ? one
                        : load_alpha(w.alpha + (ptrdiff_t(w.alpha_runs[slot]) * 2 + part) * kPanel);
                for (int half = 0; half < halves; ++half) {
                    Words g[3][3];
                    __m256i scale = scales;
                    if (halves == 2 && half == 0)
                        scale = _mm256_blend_epi16(scales, _mm256_slli_epi32(scales, 16), 0xaa);
                    if (halves == 2 && half == 1)
                        scale = _mm256_blend_epi16(_mm256_srli_epi32(scales, 16), scales, 0xaa);
#pragma GCC unroll 9
                    for (int tap = 0; tap < 9; ++tap) {
                        const int8_t* at = codes + tap * step + part * 8 * w.lanes;
                        __m256i code;
                        if (halves == 1) {
                            code = _mm256_cvtepi8_epi16(
                                _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
                        } else {
                            code = _mm256_shuffle_epi8(load_unaligned(at),
                                                       half == 0 ? first_codes : last_codes);
                            code = _mm256_srai_epi16(code, 8);
                        }
                        g[tap / 3][tap % 3] = Words(_mm256_mullo_epi16(code, scale));
                    }
                    const ptrdiff_t pair = w.pairs[slot * halves + half];
                    weights_pair(g, w.out + (pair * 2 + part) * kPanel, w.point_pitch);
                }
            }
        }
    }

    static void output(const WinogradOutput& w) {
        for (int tile = 0; tile < w.tiles; ++tile) {
            for (int part = 0; part < 2; ++part) {
                const int32_t* from = w.products + tile * kPanel + part * 8;
                Totals half[columns][points_down];
#pragma GCC unroll 6
                for (int i = 0; i < points_down; ++i) {
                    Totals p[points_across], y[columns];
#pragma GCC unroll 6
                    for (int j = 0; j < points_across; ++j)
                        p[j] = Totals(load(from + at(i, j) * w.point_pitch));
                    Across::output(p, y);
#pragma GCC unroll 4
                    for (int j = 0; j < columns; ++j) half[j][i] = y[j];
                }
                int32_t* const to = w.acc + ptrdiff_t(tile) * columns * kPanel + part * 8;
                const __m256i factor = w.factor == nullptr ? _mm256_set1_epi32(1)
                                                           : load_unaligned(w.factor + part * 8);
#pragma GCC unroll 4
                for (int j = 0; j < columns; ++j) {
                    Totals y[rows];
                    Down::output(half[j], y);
#pragma GCC unroll 4
                    for (int i = 0; i < rows; ++i) {
                        __m256i total = __m256i(odd_inverse == 1 ? y[i] : y[i] * odd_inverse);
                        total = _mm256_srai_epi32(total, shift);
                        if (w.factor != nullptr) total = _mm256_mullo_epi32(total, factor);
                        store(to + i * w.row_pitch + j * kPanel, total);
                    }
                }
            }
        }
    }

    static constexpr WinogradForm form(const WinogradEdges* edges = nullptr) {
        if constexpr (taps == 3 && !edge)
            return {rows, columns, taps, shift, input, weights, output, edges};
        return {rows, columns, taps, shift, input, nullptr, output, edges};
    }
};

constexpr WinogradEdges kEdges = {Form<4, 2, 3, true>::form(), Form<2, 4, 3, true>::form(),
                                  Form<2, 2, 3, true>::form()};
constexpr WinogradForms kForms = {
    {Form<4, 4, 3>::form(&kEdges), Form<2, 4, 3>::form(), Form<2, 2, 3>::form()},
    Form<3, 3, 4>::form()};

}  // namespace

const WinogradForms* const winograd = &kForms;

}  // namespace sub8::kernels::avx2
