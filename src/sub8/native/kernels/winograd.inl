// Winograd's transforms; what they compute: kernels/winograd.h. For instruction sets whose vectors
// are their own: the including file defines, in an anonymous namespace, kPanel, Vector, load and
// store of whole lines, load_unaligned, and
//
//     Vector sign_extended(const int8_t* from);  // bytes to words
//     Vector scales_of(const uint8_t* from);     // bytes to words, zero-extended
//     Vector in_each_lane(__m128i bytes);
//     Vector shuffled(Vector bytes, Vector order);  // within lanes of 16 bytes
//     struct WideChannels, NarrowChannels;  // what the input transform takes at a time: as many
//                                           // as fill a vector, and kWinogradChannels
//
// of which the last two, which may be the same, hold
//
//     static constexpr int count;
//     Words, a vector of `count` uint16
//     static Words load(const uint8_t* from, uint8_t flip);  // `count` bytes, XORed with flip

// Unsigned, so that arithmetic wraps around.
typedef uint16_t Words __attribute__((vector_size(sizeof(Vector))));
typedef int16_t SignedWords __attribute__((vector_size(sizeof(Vector))));
typedef uint32_t Totals __attribute__((vector_size(sizeof(Vector))));
typedef int32_t SignedTotals __attribute__((vector_size(sizeof(Vector))));

constexpr int kOutputs = sizeof(Vector) / sizeof(int32_t);  // of a vector
constexpr int kParts = kPanel / kOutputs;

// F(outputs, taps) in one direction.
template <int outputs, int taps>
struct Filter;

template <>
struct Filter<2, 3> {
    static constexpr int shift = 1;
    static constexpr uint32_t odd_inverse = 1;
    template <typename Words>
    static SUB8_INLINE void input(const Words (&d)[4], Words (&v)[4]) {
        v[0] = d[0] - d[2];
        v[1] = d[1] + d[2];
        v[2] = d[2] - d[1];
        v[3] = d[1] - d[3];
    }
    template <typename Words>
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
    template <typename Words>
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
    template <typename Words>
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

    // Some channels of one tile, from `channel` on.
    template <typename Channels>
    static SUB8_INLINE void input_tile(const WinogradInput& w, int tile, int channel) {
        using ChannelWords = typename Channels::Words;
        const uint8_t* const from = w.input + ptrdiff_t(tile) * columns * w.channels + channel;
        int16_t* const out = w.out + ptrdiff_t(tile) * w.channels + channel;
        ChannelWords half[points_across][points_down];
#pragma GCC unroll 6
        for (int i = 0; i < points_down; ++i) {
            ChannelWords d[points_across], v[points_across];
#pragma GCC unroll 6
            for (int j = 0; j < points_across; ++j)
                d[j] = Channels::load(from + i * w.pitch + ptrdiff_t(j) * w.channels, w.flip);
            Across::input(d, v);
#pragma GCC unroll 6
            for (int j = 0; j < points_across; ++j) half[j][i] = v[j];
        }
#pragma GCC unroll 6
        for (int j = 0; j < points_across; ++j) {
            ChannelWords v[points_down];
            Down::input(half[j], v);
#pragma GCC unroll 6
            for (int i = 0; i < points_down; ++i)
                __builtin_memcpy(out + at(i, j) * w.point_pitch, &v[i], sizeof v[i]);
        }
    }

    static void input(const WinogradInput& w) {
        for (int tile = 0; tile < w.tiles; ++tile) {
            int channel = 0;
            for (; channel + WideChannels::count <= w.channels; channel += WideChannels::count)
                input_tile<WideChannels>(w, tile, channel);
            if constexpr (WideChannels::count > NarrowChannels::count) {
                for (; channel < w.channels; channel += NarrowChannels::count)
                    input_tile<NarrowChannels>(w, tile, channel);
            }
        }
    }

    // A vector of outputs of one pair of channels. Column by column, which the registers hold.
    static SUB8_INLINE void weights_pair(const Words (&g)[3][3], int16_t* out,
                                         ptrdiff_t point_pitch) {
#pragma GCC unroll 6
        for (int j = 0; j < points_across; ++j) {
            const Words column[3] = {Across::kernel(g[0], j), Across::kernel(g[1], j),
                                     Across::kernel(g[2], j)};
#pragma GCC unroll 6
            for (int i = 0; i < points_down; ++i)
                store(out + (i * points_across + j) * point_pitch, Vector(Down::kernel(column, i)));
        }
    }

    static void weights(const WinogradWeights& w) {
        // Two codes of each four to the upper bytes of words; what the lower ones get is shifted
        // out.
        const Vector first_codes =
            in_each_lane(_mm_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13));
        const Vector last_codes =
            in_each_lane(_mm_setr_epi8(-1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15));
        const int halves = w.lanes / 2;
        const ptrdiff_t step = ptrdiff_t(kPanel) * w.lanes;
        for (int slot = 0; slot < w.slots; ++slot) {
            const int8_t* const codes = w.codes + slot * 9 * step;
            for (int part = 0; part < kParts; ++part) {
                Totals scales = Totals{} + 0x00010001;
                if (w.alpha != nullptr) {
                    scales = Totals(scales_of(
                        w.alpha + (ptrdiff_t(w.alpha_runs[slot]) * kParts + part) * 2 * kOutputs));
                }
                for (int half = 0; half < halves; ++half) {
                    const ptrdiff_t pair = w.pairs[slot * halves + half];
                    if (pair < 0) continue;
                    Totals both = scales;
                    if (halves == 2 && half == 0) both = (scales & 0xffff) | scales << 16;
                    if (halves == 2 && half == 1) both = (scales & 0xffff0000) | scales >> 16;
                    const Vector order = half == 0 ? first_codes : last_codes;
                    Words g[3][3];
#pragma GCC unroll 9
                    for (int tap = 0; tap < 9; ++tap) {
                        const int8_t* at = codes + tap * step + part * kOutputs * w.lanes;
                        SignedWords code;
                        if (halves == 1) {
                            code = SignedWords(sign_extended(at));
                        } else {
                            code = SignedWords(shuffled(load_unaligned(at), order)) >> 8;
                        }
                        g[tap / 3][tap % 3] = Words(code) * Words(both);
                    }
                    weights_pair(g, w.out + (pair * kParts + part) * 2 * kOutputs, w.point_pitch);
                }
            }
        }
    }

    static void output(const WinogradOutput& w) {
        for (int tile = 0; tile < w.tiles; ++tile) {
            for (int part = 0; part < kParts; ++part) {
                const int32_t* from = w.products + tile * kPanel + part * kOutputs;
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
                int32_t* const to = w.acc + ptrdiff_t(tile) * columns * kPanel + part * kOutputs;
                const bool scaled = w.factor != nullptr;
                const Totals factor =
                    scaled ? Totals(load_unaligned(w.factor + part * kOutputs)) : Totals{};
#pragma GCC unroll 4
                for (int j = 0; j < columns; ++j) {
                    Totals y[rows];
                    Down::output(half[j], y);
#pragma GCC unroll 4
                    for (int i = 0; i < rows; ++i) {
                        Totals total = odd_inverse == 1 ? y[i] : y[i] * odd_inverse;
                        total = Totals(SignedTotals(total) >> shift);
                        if (scaled) total *= factor;
                        store(to + i * w.row_pitch + j * kPanel, Vector(total));
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
