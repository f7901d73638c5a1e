// Pieces that the AVX2 kernels share. A panel is two vectors: outputs 0-7 and 8-15.
#pragma once

#include <immintrin.h>

#include "kernels/kernels.h"

// Unrolls a statement that uses r over the first `rows` rows; the compiler drops the others.
#define SUB8_ROW(r_, ...)      \
    if constexpr (rows > r_) { \
        constexpr int r = r_;  \
        __VA_ARGS__            \
    }
#define SUB8_ROWS(...)       \
    SUB8_ROW(0, __VA_ARGS__) \
    SUB8_ROW(1, __VA_ARGS__) \
    SUB8_ROW(2, __VA_ARGS__) \
    SUB8_ROW(3, __VA_ARGS__) \
    SUB8_ROW(4, __VA_ARGS__) \
    SUB8_ROW(5, __VA_ARGS__)

namespace sub8::avx2 {

constexpr int kPanel = 16;

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
// Scales of 8 outputs, two 8-bit ones each, as int16 pairs.
inline __m256i load_alpha(const uint8_t* from) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

}  // namespace sub8::avx2
