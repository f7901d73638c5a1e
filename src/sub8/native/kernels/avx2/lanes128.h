// lanes256.h's in 128 bits, as far as depthwise_lines.inl needs them.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/unroll.h"

namespace sub8::kernels::avx2 {
namespace {

struct Lanes128 {
    using Ints = __m128i;
    using Floats = __m128;
    static constexpr int count = 4;

    static SUB8_INLINE Ints load(const void* from) {
        return _mm_loadu_si128(static_cast<const __m128i*>(from));
    }
    static SUB8_INLINE void store(void* to, Ints v) {
        _mm_storeu_si128(static_cast<__m128i*>(to), v);
    }
    static SUB8_INLINE Ints zero() { return _mm_setzero_si128(); }
    static SUB8_INLINE Ints set8(int v) { return _mm_set1_epi8(char(v)); }
    static SUB8_INLINE Ints in_each_lane(__m128i v) { return v; }

    static SUB8_INLINE Ints mul32(Ints a, Ints b) { return _mm_mullo_epi32(a, b); }
    static SUB8_INLINE Ints xor_(Ints a, Ints b) { return _mm_xor_si128(a, b); }
    static SUB8_INLINE Floats loadf(const float* from) { return _mm_loadu_ps(from); }
    static SUB8_INLINE Ints rounded_sum(Ints v, Floats scale, Floats offset) {
        return _mm_cvtps_epi32(_mm_fmadd_ps(_mm_cvtepi32_ps(v), scale, offset));
    }

    static SUB8_INLINE Ints unpack_low8(Ints a, Ints b) { return _mm_unpacklo_epi8(a, b); }
    static SUB8_INLINE Ints unpack_high8(Ints a, Ints b) { return _mm_unpackhi_epi8(a, b); }
    static SUB8_INLINE Ints unpack_low16(Ints a, Ints b) { return _mm_unpacklo_epi16(a, b); }
    static SUB8_INLINE Ints unpack_high16(Ints a, Ints b) { return _mm_unpackhi_epi16(a, b); }
    static SUB8_INLINE void transpose_lanes(const Ints (&v)[4], Ints (&out)[4]) {
        for (int i = 0; i < 4; ++i) out[i] = v[i];
    }

    static SUB8_INLINE Ints packs32(Ints a, Ints b) { return _mm_packs_epi32(a, b); }
    static SUB8_INLINE Ints packus16(Ints a, Ints b) { return _mm_packus_epi16(a, b); }
    static SUB8_INLINE Ints max_u8(Ints a, Ints b) { return _mm_max_epu8(a, b); }
    static SUB8_INLINE Ints min_u8(Ints a, Ints b) { return _mm_min_epu8(a, b); }
    static SUB8_INLINE Ints shuffle8(Ints v, Ints order) { return _mm_shuffle_epi8(v, order); }
};

}  // namespace
}  // namespace sub8::kernels::avx2
