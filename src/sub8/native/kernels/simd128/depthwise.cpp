// Depthwise convolution, 16 channels x pairs of taps (WebAssembly).
//
// Both parts of a weight fit int16 together, and so do bytes, so that one i32x4.dot_i16x8_s takes a
// pair of taps of four channels.
#include <wasm_simd128.h>

#include "kernels/declarations.h"
#include "kernels/unroll.h"

namespace sub8::kernels::simd128 {
namespace {

constexpr int kMostPairs = 64;  // of taps whose weights are joined beforehand
constexpr int kChannels = 16;

// Whole weights of each pair of taps: [pairs][kDepthwiseBlock][2].
void join_weights(const DepthwiseArguments& t, int16_t* joined) {
    const int8_t* parts = t.weights;
    for (int pair = 0; pair < t.pairs; ++pair, parts += kDepthwiseStep) {
        for (int i = 0; i < 2 * kDepthwiseBlock; i += 8, joined += 8) {
            const v128_t low = wasm_i16x8_load8x8(parts + i);
            const v128_t high = wasm_i16x8_load8x8(parts + 2 * kDepthwiseBlock + i);
            wasm_v128_store(joined, wasm_i16x8_add(low, wasm_i16x8_shl(high, 4)));
        }
    }
}

// Of 16 channels from `first` on.
SUB8_INLINE void run_position(const DepthwiseArguments& t, const int16_t* joined, int position,
                              int first) {
    const v128_t flip = wasm_i8x16_splat(int8_t(t.flip));
    const ptrdiff_t place = position * t.step + first;
    v128_t sums[4] = {wasm_i32x4_const_splat(0), wasm_i32x4_const_splat(0),
                      wasm_i32x4_const_splat(0), wasm_i32x4_const_splat(0)};
    const int16_t* w = joined + 2 * first;
    for (int pair = 0; pair < t.pairs; ++pair, w += 2 * kDepthwiseBlock) {
        const v128_t x0 = wasm_v128_xor(wasm_v128_load(t.rows[2 * pair] + place), flip);
        const v128_t x1 = wasm_v128_xor(wasm_v128_load(t.rows[2 * pair + 1] + place), flip);
        const v128_t a =
            wasm_i8x16_shuffle(x0, x1, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        const v128_t b = wasm_i8x16_shuffle(x0, x1, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29,
                                            14, 30, 15, 31);
        const v128_t pairs[4] = {wasm_u16x8_extend_low_u8x16(a), wasm_u16x8_extend_high_u8x16(a),
                                 wasm_u16x8_extend_low_u8x16(b), wasm_u16x8_extend_high_u8x16(b)};
        for (int i = 0; i < 4; ++i) {
            const v128_t products = wasm_i32x4_dot_i16x8(pairs[i], wasm_v128_load(w + 8 * i));
            sums[i] = wasm_i32x4_add(sums[i], products);
        }
    }
    int32_t* acc = t.acc + position * t.acc_pitch + first;
    const int16_t* factors = t.factors + 2 * first;
    for (int i = 0; i < 4; ++i) {
        // The first factor of each pair.
        const v128_t alpha =
            wasm_v128_and(wasm_v128_load(factors + 8 * i), wasm_i32x4_const_splat(0xFFFF));
        v128_t sum = wasm_i32x4_shl(wasm_i32x4_mul(sums[i], alpha), t.left_shift);
        if (!t.first) sum = wasm_i32x4_add(sum, wasm_v128_load(acc + 4 * i));
        wasm_v128_store(acc + 4 * i, sum);
    }
}

void depthwise_any(const DepthwiseArguments& t) {
    if (t.pairs > kMostPairs) return scalar::depthwise.run(t);
    alignas(16) int16_t joined[kMostPairs * 2 * kDepthwiseBlock];
    join_weights(t, joined);
    for (int position = 0; position < t.positions; ++position) {
        for (int first = 0; first < kDepthwiseBlock; first += kChannels)
            run_position(t, joined, position, first);
    }
}

}  // namespace

const DepthwiseKernel depthwise = {
    depthwise_any, {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31}};

}  // namespace sub8::kernels::simd128
