// 8 x 16 words of 32 bits, rows to columns (x86 AVX-512).
#pragma once

#include "kernels/avx512vnni/vectors.h"

namespace sub8::kernels::avx512vnni {
namespace {

// Calls put(column, its 8 words) for all 16. Columns 4i + k, i = 0..3, come to lie in the lanes i
// of two vectors, one of four rows each, and are put together for i = 0, 1 and for i = 2, 3.
template <typename Put>
SUB8_INLINE void transpose(const __m512i (&v)[8], const Put& put) {
    __m512i a[8], b[8];
    for (int t = 0; t < 8; t += 2) {
        a[t] = _mm512_unpacklo_epi32(v[t], v[t + 1]);
        a[t + 1] = _mm512_unpackhi_epi32(v[t], v[t + 1]);
    }
    for (int t = 0; t < 8; t += 4) {
        b[t] = _mm512_unpacklo_epi64(a[t], a[t + 2]);
        b[t + 1] = _mm512_unpackhi_epi64(a[t], a[t + 2]);
        b[t + 2] = _mm512_unpacklo_epi64(a[t + 1], a[t + 3]);
        b[t + 3] = _mm512_unpackhi_epi64(a[t + 1], a[t + 3]);
    }
    const __m512i lower = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i upper = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    const auto put_both = [&](int column, __m512i two) SUB8_INLINE_LAMBDA {
        put(column, _mm512_castsi512_si256(two));
        put(column + 4, _mm512_extracti64x4_epi64(two, 1));
    };
    for (int k = 0; k < 4; ++k) {
        put_both(k, _mm512_permutex2var_epi64(b[k], lower, b[k + 4]));
        put_both(k + 8, _mm512_permutex2var_epi64(b[k], upper, b[k + 4]));
    }
}

}  // namespace
}  // namespace sub8::kernels::avx512vnni
