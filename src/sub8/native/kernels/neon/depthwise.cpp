// Depthwise convolution, 16 channels x 4 taps (ARMv8.2 with dot products).
//
// Bytes of four taps are interleaved, so that sdot multiplies them with all four's weights. Both
// are signed: inputs come with their top bit flipped, which sums that start with 128 times the sum
// of the weights make up for. Both parts of a weight fit int8 together.
//
// A 3x3 kernel's taps are taken by columns: the three inputs of a column, once interleaved, are
// multiplied with the first, the second and the last column of the kernel, for the outputs that
// begin there and at the two columns before it.
#include <arm_neon.h>

#include "kernels/declarations.h"
#include "kernels/unroll.h"

namespace sub8::kernels::neon {
namespace {

constexpr int kQuads = kDepthwisePairs / 2;  // of taps
constexpr int kQuad = 4 * kDepthwiseBlock;   // bytes of weights per quad of taps and block
constexpr int kChannels = 16;

struct Prepared {
    alignas(16) int8_t weights[kQuads * kQuad];  // [quads or columns][kDepthwiseBlock][4 taps]
    alignas(16) int32_t start[kDepthwiseBlock];
    alignas(16) int32_t alpha[kDepthwiseBlock];
    int quads;
};

// The whole weights of 8 places from `place` on of a pair of taps, none beyond the last.
SUB8_INLINE uint16x8_t joined(const DepthwiseArguments& t, int pair, int place) {
    if (pair >= t.pairs) return vdupq_n_u16(0);
    const int8_t* low = t.weights + pair * kDepthwiseStep + 2 * place;
    const int8x16_t whole =
        vmlaq_s8(vld1q_s8(low), vld1q_s8(low + 2 * kDepthwiseBlock), vdupq_n_s8(16));
    return vreinterpretq_u16_s8(whole);
}

SUB8_INLINE void store_quads(int8_t* to, uint16x8_t first, uint16x8_t second) {
    vst1q_s8(to, vreinterpretq_s8_u16(vzip1q_u16(first, second)));
    vst1q_s8(to + 16, vreinterpretq_s8_u16(vzip2q_u16(first, second)));
}

void finish_preparing(const DepthwiseArguments& t, Prepared& prepared) {
    for (int j = 0; j < kDepthwiseBlock; j += 4) {
        int32x4_t sum = vdupq_n_s32(0);
        for (int quad = 0; quad < prepared.quads; ++quad) {
            const int8x16_t w = vld1q_s8(prepared.weights + quad * kQuad + 4 * j);
            sum = vdotq_s32(sum, w, vdupq_n_s8(1));
        }
        vst1q_s32(prepared.start + j, vshlq_n_s32(sum, 7));
        // The first factor of each pair.
        const int32x4_t pairs = vreinterpretq_s32_s16(vld1q_s16(t.factors + 2 * j));
        const int32x4_t alpha = vandq_s32(pairs, vdupq_n_s32(0xffff));
        vst1q_s32(prepared.alpha + j, vshlq_s32(alpha, vdupq_n_s32(t.left_shift)));
    }
}

void prepare_quads(const DepthwiseArguments& t, Prepared& prepared) {
    prepared.quads = (t.pairs + 1) / 2;
    for (int quad = 0; quad < prepared.quads; ++quad) {
        for (int j = 0; j < kDepthwiseBlock; j += 8) {
            store_quads(prepared.weights + quad * kQuad + 4 * j, joined(t, 2 * quad, j),
                        joined(t, 2 * quad + 1, j));
        }
    }
    finish_preparing(t, prepared);
}

// Taps 0 3 6 -, 1 4 7 -, 2 5 8 - of five pairs, whose last tap has weights of 0.
void prepare_columns(const DepthwiseArguments& t, Prepared& prepared) {
    prepared.quads = 3;
    const uint16x8_t first = vdupq_n_u16(0x00ff), second = vdupq_n_u16(0xff00);
    for (int j = 0; j < kDepthwiseBlock; j += 8) {
        uint16x8_t pairs[5];
        for (int pair = 0; pair < 5; ++pair) pairs[pair] = joined(t, pair, j);
        const auto both = [&](int tap, int other) SUB8_INLINE_LAMBDA {
            const uint16x8_t a =
                tap % 2 == 0 ? vandq_u16(pairs[tap / 2], first) : vshrq_n_u16(pairs[tap / 2], 8);
            const uint16x8_t b = other % 2 == 0 ? vshlq_n_u16(pairs[other / 2], 8)
                                                : vandq_u16(pairs[other / 2], second);
            return vorrq_u16(a, b);
        };
        for (int column = 0; column < 3; ++column) {
            const int last = 6 + column;
            const uint16x8_t alone =
                last % 2 == 0 ? vandq_u16(pairs[last / 2], first) : vshrq_n_u16(pairs[last / 2], 8);
            store_quads(prepared.weights + column * kQuad + 4 * j, both(column, 3 + column), alone);
        }
    }
    finish_preparing(t, prepared);
}

// Four sums of four channels each.
struct Sums {
    int32x4_t v[4];

    SUB8_INLINE void start(const int32_t* from) {
        for (int i = 0; i < 4; ++i) v[i] = vld1q_s32(from + 4 * i);
    }
    SUB8_INLINE void add(const int8x16_t (&x)[4], const int8x16_t (&w)[4]) {
        for (int i = 0; i < 4; ++i) v[i] = vdotq_s32(v[i], x[i], w[i]);
    }
};

// `again`: results are added to earlier ones.
template <bool again>
SUB8_INLINE void finish(const Sums& sums, const int32_t* alpha, int32_t* acc) {
    for (int i = 0; i < 4; ++i) {
        const int32x4_t factor = vld1q_s32(alpha + 4 * i);
        vst1q_s32(acc + 4 * i, again ? vmlaq_s32(vld1q_s32(acc + 4 * i), sums.v[i], factor)
                                     : vmulq_s32(sums.v[i], factor));
    }
}

// Bytes of four taps, those of a channel side by side.
SUB8_INLINE void interleave(uint8x16_t x0, uint8x16_t x1, uint8x16_t x2, uint8x16_t x3,
                            int8x16_t (&quads)[4]) {
    const uint16x8_t a0 = vreinterpretq_u16_u8(vzip1q_u8(x0, x1));
    const uint16x8_t a1 = vreinterpretq_u16_u8(vzip2q_u8(x0, x1));
    const uint16x8_t b0 = vreinterpretq_u16_u8(vzip1q_u8(x2, x3));
    const uint16x8_t b1 = vreinterpretq_u16_u8(vzip2q_u8(x2, x3));
    quads[0] = vreinterpretq_s8_u16(vzip1q_u16(a0, b0));
    quads[1] = vreinterpretq_s8_u16(vzip2q_u16(a0, b0));
    quads[2] = vreinterpretq_s8_u16(vzip1q_u16(a1, b1));
    quads[3] = vreinterpretq_s8_u16(vzip2q_u16(a1, b1));
}

template <bool flipped>
SUB8_INLINE uint8x16_t load(const uint8_t* from) {
    const uint8x16_t bytes = vld1q_u8(from);
    return flipped ? veorq_u8(bytes, vdupq_n_u8(0x80)) : bytes;
}

// Any taps; one or two neighbouring positions, 16 channels from `first` on.
template <int positions, bool flipped, bool again>
SUB8_INLINE void run_quads(const DepthwiseArguments& t, const Prepared& prepared, int position,
                           int first) {
    Sums sums[positions];
    for (int p = 0; p < positions; ++p) sums[p].start(prepared.start + first);
    const ptrdiff_t place = position * t.step + first;
    for (int quad = 0; quad < prepared.quads; ++quad) {
        const uint8_t* const* rows = t.rows + 4 * quad;
        // Weights of taps beyond the last are 0, whatever is multiplied with them.
        const bool whole = 4 * quad + 4 <= 2 * t.pairs;
        const uint8_t *row2 = rows[whole ? 2 : 0], *row3 = rows[whole ? 3 : 1];
        int8x16_t w[4];
        for (int i = 0; i < 4; ++i)
            w[i] = vld1q_s8(prepared.weights + quad * kQuad + 4 * first + 16 * i);
        for (int p = 0; p < positions; ++p) {
            const ptrdiff_t at = place + p * t.step;
            int8x16_t x[4];
            interleave(load<flipped>(rows[0] + at), load<flipped>(rows[1] + at),
                       load<flipped>(row2 + at), load<flipped>(row3 + at), x);
            sums[p].add(x, w);
        }
    }
    for (int p = 0; p < positions; ++p) {
        finish<again>(sums[p], prepared.alpha + first,
                      t.acc + (position + p) * t.acc_pitch + first);
    }
}

template <bool flipped, bool again>
void depthwise_quads(const DepthwiseArguments& t) {
    Prepared prepared;
    prepare_quads(t, prepared);
    for (int first = 0; first < kDepthwiseBlock; first += kChannels) {
        int position = 0;
        for (; position + 2 <= t.positions; position += 2)
            run_quads<2, flipped, again>(t, prepared, position, first);
        if (position < t.positions) run_quads<1, flipped, again>(t, prepared, position, first);
    }
}

// Inputs of a 3x3 kernel, column after column.
template <bool flipped>
struct Columns {
    const uint8_t *row0, *row1, *row2;
    ptrdiff_t pitch;

    SUB8_INLINE void next(int8x16_t (&x)[4]) {
        const uint8x16_t x0 = load<flipped>(row0), x1 = load<flipped>(row1),
                         x2 = load<flipped>(row2);
        interleave(x0, x1, x2, x2, x);
        row0 += pitch, row1 += pitch, row2 += pitch;
    }
};

// stride: columns from position to position.
template <int stride, bool flipped, bool again>
void depthwise_columns(const DepthwiseArguments& t) {
    Prepared prepared;
    prepare_columns(t, prepared);
    for (int first = 0; first < kDepthwiseBlock; first += kChannels) {
        int8x16_t w[3][4];
        for (int column = 0; column < 3; ++column) {
            for (int i = 0; i < 4; ++i)
                w[column][i] = vld1q_s8(prepared.weights + column * kQuad + 4 * first + 16 * i);
        }
        const int32_t* const start = prepared.start + first;
        const int32_t* const alpha = prepared.alpha + first;
        Columns<flipped> columns{t.rows[0] + first, t.rows[3] + first, t.rows[6] + first,
                                 t.step / stride};
        int32_t* acc = t.acc + first;
        int8x16_t x[4];
        // Of the outputs that began at the column before the next one, or two before it.
        Sums late, early;
        early.start(start);
        columns.next(x);
        early.add(x, w[0]);
        if constexpr (stride == 1) {
            columns.next(x);
            early.add(x, w[1]);
            late.start(start);
            late.add(x, w[0]);
            // The sums change places instead of registers.
            const auto position = [&](Sums& ends, Sums& goes_on, Sums& begins) SUB8_INLINE_LAMBDA {
                begins.start(start);
                columns.next(x);
                ends.add(x, w[2]);
                goes_on.add(x, w[1]);
                begins.add(x, w[0]);
                finish<again>(ends, alpha, acc);
                acc += t.acc_pitch;
            };
            Sums next;
            int left = t.positions - 1;
            for (; left >= 3; left -= 3) {
                position(early, late, next);
                position(late, next, early);
                position(next, early, late);
            }
            for (; left > 0; --left) {
                position(early, late, next);
                early = late;
                late = next;
            }
            columns.next(x);
            early.add(x, w[2]);
            finish<again>(early, alpha, acc);
        } else {
            for (int left = t.positions; left > 0; --left) {
                columns.next(x);
                early.add(x, w[1]);
                columns.next(x);
                early.add(x, w[2]);
                finish<again>(early, alpha, acc);
                acc += t.acc_pitch;
                early.start(start);
                early.add(x, w[0]);
            }
        }
    }
}

// Whether tap 9 of five pairs has weights of 0.
bool has_nine_taps(const DepthwiseArguments& t) {
    uint16x8_t all = vdupq_n_u16(0);
    const uint8_t* last = reinterpret_cast<const uint8_t*>(t.weights) + 4 * kDepthwiseStep;
    for (int i = 0; i < kDepthwiseStep; i += 16)
        all = vorrq_u16(all, vreinterpretq_u16_u8(vld1q_u8(last + i)));
    return vmaxvq_u16(vshrq_n_u16(all, 8)) == 0;
}

// Columns from position to position where the taps lie as those of a 3x3 kernel do, 1 or 2; else 0.
int stride_of_3x3(const DepthwiseArguments& t) {
    if (t.positions < 2 || t.pairs != 5) return 0;
    const ptrdiff_t column = t.rows[1] - t.rows[0];
    if (column != t.step && 2 * column != t.step) return 0;
    for (int tap = 0; tap < 9; tap += 3) {
        if (t.rows[tap + 1] - t.rows[tap] != column || t.rows[tap + 2] - t.rows[tap + 1] != column)
            return 0;
    }
    if (!has_nine_taps(t)) return 0;
    return column == t.step ? 1 : 2;
}

template <bool flipped, bool again>
void depthwise_as(const DepthwiseArguments& t) {
    switch (stride_of_3x3(t)) {
        case 1:
            return depthwise_columns<1, flipped, again>(t);
        case 2:
            return depthwise_columns<2, flipped, again>(t);
        default:
            return depthwise_quads<flipped, again>(t);
    }
}

void depthwise_any(const DepthwiseArguments& t) {
    // What is flipped once is signed already.
    if (t.flip == 0) return t.first ? depthwise_as<true, false>(t) : depthwise_as<true, true>(t);
    return t.first ? depthwise_as<false, false>(t) : depthwise_as<false, true>(t);
}

}  // namespace

const DepthwiseKernel depthwise = {
    depthwise_any, {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31}};

}  // namespace sub8::kernels::neon
