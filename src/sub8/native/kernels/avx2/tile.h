// Pieces that the AVX2 kernels share. A panel is two vectors: outputs 0-7 and 8-15.
#pragma once

#include <immintrin.h>

#include "kernels/kernels.h"
#include "kernels/unroll.h"

namespace sub8::kernels::avx2 {

constexpr int kPanel = 16;

using Vector = __m256i;

SUB8_INLINE __m256i zero() { return _mm256_setzero_si256(); }
inline __m256i load(const void* from) {
    return _mm256_load_si256(static_cast<const __m256i*>(from));
}
inline __m256i load_unaligned(const void* from) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}
inline void store(void* to, __m256i value) { _mm256_store_si256(static_cast<__m256i*>(to), value); }
inline void store_unaligned(void* to, __m256i value) {
    _mm256_storeu_si256(static_cast<__m256i*>(to), value);
}
inline __m256i broadcast(const uint8_t* from) {
    return _mm256_set1_epi32(*reinterpret_cast<const int32_t*>(from));
}

// Steps of one row. In assembly, because gcc would rather start all rows' products at once and then
// spill the accumulators; so it has to keep to one row after the other.

#define SUB8_STEP_OF_ROW(start, add, multiply, plus)                                               \
    SUB8_INLINE void start(const uint8_t* a, __m256i w0, __m256i w1, __m256i& sum0,                \
                           __m256i& sum1) {                                                        \
        asm volatile("vpbroadcastd %[a], %[s1]\n\t" multiply " %[w0], %[s1], %[s0]\n\t" multiply   \
                     " %[w1], %[s1], %[s1]"                                                        \
                     : [s0] "=&x"(sum0), [s1] "=&x"(sum1)                                          \
                     : [a] "m"(*reinterpret_cast<const int32_t*>(a)), [w0] "x"(w0), [w1] "x"(w1)); \
    }                                                                                              \
    SUB8_INLINE void add(const uint8_t* a, __m256i w0, __m256i w1, __m256i& sum0, __m256i& sum1) { \
        __m256i x, y;                                                                              \
        asm volatile("vpbroadcastd %[a], %[x]\n\t" multiply " %[w0], %[x], %[y]\n\t" multiply      \
                     " %[w1], %[x], %[x]\n\t" plus " %[y], %[s0], %[s0]\n\t" plus                  \
                     " %[x], %[s1], %[s1]"                                                         \
                     : [s0] "+x"(sum0), [s1] "+x"(sum1), [x] "=&x"(x), [y] "=&x"(y)                \
                     : [a] "m"(*reinterpret_cast<const int32_t*>(a)), [w0] "x"(w0), [w1] "x"(w1)); \
    }

// sums = u8 pairs * s8 pairs, in int16; sums += the same.
SUB8_STEP_OF_ROW(start_pairs, multiply_pairs, "vpmaddubsw", "vpaddw")
// sums = s16 pairs * s16 pairs, in int32; sums += the same.
SUB8_STEP_OF_ROW(start_wide, multiply_wide, "vpmaddwd", "vpaddd")

#undef SUB8_STEP_OF_ROW

// sum += u8 pairs * s8 pairs, in int16.
SUB8_INLINE void add_products(__m256i a, __m256i w, __m256i& sum) {
    __m256i product;
    asm volatile(
        "vpmaddubsw %[w], %[a], %[p]\n\t"
        "vpaddw %[p], %[s], %[s]"
        : [s] "+x"(sum), [p] "=&x"(product)
        : [a] "x"(a), [w] "x"(w));
}

// totals += int16 sums * scales, in int32; uses up the sums.
SUB8_INLINE void scale_sums(__m256i alpha0, __m256i alpha1, __m256i& sum0, __m256i& sum1,
                            __m256i& total0, __m256i& total1) {
    asm volatile(
        "vpmaddwd %[a0], %[s0], %[s0]\n\t"
        "vpmaddwd %[a1], %[s1], %[s1]\n\t"
        "vpaddd %[s0], %[t0], %[t0]\n\t"
        "vpaddd %[s1], %[t1], %[t1]"
        : [s0] "+x"(sum0), [s1] "+x"(sum1), [t0] "+x"(total0), [t1] "+x"(total1)
        : [a0] "x"(alpha0), [a1] "x"(alpha1));
}

// What is left of a panel's weights and scales, run by run.
struct Runs {
    const int8_t* w;
    const uint8_t* alpha;
    const uint16_t* steps;
    const uint16_t* const end;

    SUB8_INLINE explicit Runs(const TileArguments& t)
        : w(static_cast<const int8_t*>(t.weights)),
          alpha(t.alpha),
          steps(t.run_steps),
          end(t.run_steps + t.runs) {}
};

// The products of one step; the sums of a run start with them.
template <int rows>
SUB8_INLINE void start_step(const uint8_t* a, const int8_t* w, __m256i (&sums)[rows][2]) {
    const __m256i w0 = load(w);
    const __m256i w1 = load(w + 32);
    SUB8_ROWS(start_pairs(a + 4 * r, w0, w1, sums[r][0], sums[r][1]);)
}

template <int rows>
SUB8_INLINE void add_step(const uint8_t* a, const int8_t* w, __m256i (&sums)[rows][2]) {
    const __m256i w0 = load(w);
    const __m256i w1 = load(w + 32);
    SUB8_ROWS(multiply_pairs(a + 4 * r, w0, w1, sums[r][0], sums[r][1]);)
}

// Scales of 8 outputs, two 8-bit ones each, as int16 pairs.
inline __m256i load_alpha(const uint8_t* from) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

// The first scales of 8 outputs, as int32.
SUB8_INLINE __m256i first_alpha(const uint8_t* from) {
    return _mm256_and_si256(load_alpha(from), _mm256_set1_epi32(0xff));
}

// A tile's int32 sums, two vectors a row.
template <int rows>
SUB8_INLINE void read_totals(const TileArguments& t, const int32_t* total,
                             __m256i (&acc)[rows][2]) {
    if (__builtin_expect(t.first, 1)) {  // most layers have but one block
        SUB8_ROWS(acc[r][0] = zero(); acc[r][1] = zero();)
    } else {
        SUB8_ROWS(acc[r][0] = load(total + r * kPanel); acc[r][1] = load(total + r * kPanel + 8);)
    }
}

template <int rows>
SUB8_INLINE void write_totals(const __m256i (&acc)[rows][2], int32_t* total) {
    SUB8_ROWS(store(total + r * kPanel, acc[r][0]); store(total + r * kPanel + 8, acc[r][1]);)
}

}  // namespace sub8::kernels::avx2
