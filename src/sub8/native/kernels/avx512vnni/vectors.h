// Pieces that the AVX-512 kernels share. A panel is two vectors: outputs 0-15 and 16-31.
#pragma once

// gcc 12 warns of its own header (bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif

#include "kernels/kernels.h"
#include "kernels/unroll.h"

namespace sub8::kernels::avx512vnni {

constexpr int kPanel = 32;

using Vector = __m512i;

SUB8_INLINE __m512i zero() { return _mm512_setzero_si512(); }
SUB8_INLINE __m512i load(const void* from) { return _mm512_loadu_si512(from); }
SUB8_INLINE __m512i load_unaligned(const void* from) { return load(from); }
SUB8_INLINE void store(void* to, __m512i value) { _mm512_storeu_si512(to, value); }
SUB8_INLINE __m512i broadcast(const uint8_t* from) {
    return _mm512_set1_epi32(*reinterpret_cast<const int32_t*>(from));
}
// The first scales of 16 outputs, as int32.
SUB8_INLINE __m512i first_alpha(const uint8_t* from) {
    const __m512i pairs =
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    return _mm512_and_si512(pairs, _mm512_set1_epi32(0xff));
}

}  // namespace sub8::kernels::avx512vnni
