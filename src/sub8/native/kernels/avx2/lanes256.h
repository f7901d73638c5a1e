// Vectors of 256 bits for sources that are written for any width; those of 512:
// avx512vnni/lanes512.h. Orders of elements within a vector are those of its lanes of 16 bytes.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/unroll.h"

namespace sub8::kernels::avx2 {
namespace {

struct Lanes256 {
    using Ints = __m256i;
    using Floats = __m256;
    static constexpr int count = 8;  // int32

    static SUB8_INLINE Ints load(const void* from) {
        return _mm256_loadu_si256(static_cast<const __m256i*>(from));
    }
    // One after the other.
    static SUB8_INLINE Ints load_parts(const uint8_t* const (&from)[1]) { return load(from[0]); }
    static SUB8_INLINE Ints load_parts(const uint8_t* const (&from)[2]) {
        return _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(from[1]),
                                   reinterpret_cast<const __m128i*>(from[0]));
    }
    static SUB8_INLINE void store(void* to, Ints v) {
        _mm256_storeu_si256(static_cast<__m256i*>(to), v);
    }
    static SUB8_INLINE Ints zero() { return _mm256_setzero_si256(); }
    static SUB8_INLINE Ints set8(int v) { return _mm256_set1_epi8(char(v)); }
    static SUB8_INLINE Ints set16(int v) { return _mm256_set1_epi16(int16_t(v)); }
    static SUB8_INLINE Ints set32(int v) { return _mm256_set1_epi32(v); }
    static SUB8_INLINE Ints set64(int64_t v) { return _mm256_set1_epi64x(v); }
    static SUB8_INLINE Ints in_each_lane(__m128i v) { return _mm256_broadcastsi128_si256(v); }

    static SUB8_INLINE Ints add32(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
    static SUB8_INLINE Ints add64(Ints a, Ints b) { return _mm256_add_epi64(a, b); }
    static SUB8_INLINE Ints mul32(Ints a, Ints b) { return _mm256_mullo_epi32(a, b); }
    static SUB8_INLINE Ints and_(Ints a, Ints b) { return _mm256_and_si256(a, b); }
    static SUB8_INLINE Ints or_(Ints a, Ints b) { return _mm256_or_si256(a, b); }
    static SUB8_INLINE Ints xor_(Ints a, Ints b) { return _mm256_xor_si256(a, b); }
    static SUB8_INLINE Ints sll32(Ints v, __m128i n) { return _mm256_sll_epi32(v, n); }
    static SUB8_INLINE Ints sra32(Ints v, __m128i n) { return _mm256_sra_epi32(v, n); }
    // Products of the even int32, as int64; the odd ones in their places.
    static SUB8_INLINE Ints mul_even32(Ints a, Ints b) { return _mm256_mul_epi32(a, b); }
    static SUB8_INLINE Ints odd32(Ints v) { return _mm256_srli_epi64(v, 32); }
    // Of each lane two int32 of either, as _mm_shuffle_ps has it.
    template <int which>
    static SUB8_INLINE Ints two_of_each(Ints a, Ints b) {
        return _mm256_castps_si256(
            _mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), which));
    }
    // Eight int64 in order to the even and the odd ones.
    static SUB8_INLINE void part64(Ints first, Ints second, Ints& even, Ints& odd) {
        constexpr int kOrder = 0xD8;  // 0, 2, 1, 3
        even = _mm256_permute4x64_epi64(_mm256_unpacklo_epi64(first, second), kOrder);
        odd = _mm256_permute4x64_epi64(_mm256_unpackhi_epi64(first, second), kOrder);
    }
    // Takes the lowest bit away where `where` is 0.
    static SUB8_INLINE Ints even_where_zero(Ints v, Ints where) {
        const Ints found = _mm256_cmpeq_epi32(where, _mm256_setzero_si256());
        return _mm256_andnot_si256(_mm256_srli_epi32(found, 31), v);
    }

    static SUB8_INLINE Floats setf(float v) { return _mm256_set1_ps(v); }

    static SUB8_INLINE Floats loadf(const float* from) { return _mm256_loadu_ps(from); }
    // sum + bytes, extended, times factors below 2**15.
    static SUB8_INLINE Ints add_product(Ints sum, Ints bytes, Ints factors) {
        return _mm256_add_epi32(sum, _mm256_madd_epi16(bytes, factors));
    }
    // rint(v * scale + offset), the sum rounded once.
    static SUB8_INLINE Ints rounded_sum(Ints v, Floats scale, Floats offset) {
        return _mm256_cvtps_epi32(_mm256_fmadd_ps(_mm256_cvtepi32_ps(v), scale, offset));
    }

    // Of each lane, elements of both by turns: of the lower half, of the upper one.
    static SUB8_INLINE Ints unpack_low8(Ints a, Ints b) { return _mm256_unpacklo_epi8(a, b); }
    static SUB8_INLINE Ints unpack_high8(Ints a, Ints b) { return _mm256_unpackhi_epi8(a, b); }
    static SUB8_INLINE Ints unpack_low16(Ints a, Ints b) { return _mm256_unpacklo_epi16(a, b); }
    static SUB8_INLINE Ints unpack_high16(Ints a, Ints b) { return _mm256_unpackhi_epi16(a, b); }
    // out: the first lanes of all four, then the second ones, and so on.
    static SUB8_INLINE void transpose_lanes(const Ints (&v)[4], Ints (&out)[4]) {
        for (int i = 0; i < 2; ++i) {
            out[i] = _mm256_permute2x128_si256(v[2 * i], v[2 * i + 1], 0x20);
            out[2 + i] = _mm256_permute2x128_si256(v[2 * i], v[2 * i + 1], 0x31);
        }
    }

    // Of each lane, first a's elements, then b's.
    static SUB8_INLINE Ints packs32(Ints a, Ints b) { return _mm256_packs_epi32(a, b); }
    static SUB8_INLINE Ints packs16(Ints a, Ints b) { return _mm256_packs_epi16(a, b); }
    static SUB8_INLINE Ints packus16(Ints a, Ints b) { return _mm256_packus_epi16(a, b); }
    static SUB8_INLINE Ints adds16(Ints a, Ints b) { return _mm256_adds_epi16(a, b); }
    static SUB8_INLINE Ints max_s8(Ints a, Ints b) { return _mm256_max_epi8(a, b); }
    static SUB8_INLINE Ints min_s8(Ints a, Ints b) { return _mm256_min_epi8(a, b); }
    static SUB8_INLINE Ints max_u8(Ints a, Ints b) { return _mm256_max_epu8(a, b); }
    static SUB8_INLINE Ints min_u8(Ints a, Ints b) { return _mm256_min_epu8(a, b); }
    static SUB8_INLINE Ints min16(Ints a, Ints b) { return _mm256_min_epi16(a, b); }
    static SUB8_INLINE Ints max16(Ints a, Ints b) { return _mm256_max_epi16(a, b); }
    static SUB8_INLINE Ints shuffle8(Ints v, Ints order) { return _mm256_shuffle_epi8(v, order); }
    // The first int32 of all lanes, then the second ones, and so on.
    static SUB8_INLINE Ints by_places(Ints v) {
        return _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    }

    // `count` bytes.
    static SUB8_INLINE Ints extended(const uint8_t* from, bool is_signed) {
        const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
        return is_signed ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
    }
    template <int which>
    static SUB8_INLINE void store_half(uint8_t* to, Ints v) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_extracti128_si256(v, which));
    }
    template <int which>
    static SUB8_INLINE void store_quarter(uint8_t* to, Ints v) {
        const __m128i half = _mm256_extracti128_si256(v, which / 2);
        _mm_storel_epi64(reinterpret_cast<__m128i*>(to),
                         which % 2 == 0 ? half : _mm_unpackhi_epi64(half, half));
    }
};

}  // namespace
}  // namespace sub8::kernels::avx2
