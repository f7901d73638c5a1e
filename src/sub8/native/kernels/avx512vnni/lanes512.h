// avx2/lanes256.h's in 512 bits.
#pragma once

#include "kernels/avx512vnni/vectors.h"

namespace sub8::kernels::avx512vnni {
namespace {

struct Lanes512 {
    using Ints = __m512i;
    using Floats = __m512;
    static constexpr int count = 16;

    static SUB8_INLINE Ints load(const void* from) { return _mm512_loadu_si512(from); }
    static SUB8_INLINE Ints load_parts(const uint8_t* const (&from)[1]) { return load(from[0]); }
    static SUB8_INLINE Ints load_parts(const uint8_t* const (&from)[2]) {
        const auto half = [](const uint8_t* at) SUB8_INLINE_LAMBDA {
            return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
        };
        return _mm512_inserti64x4(_mm512_castsi256_si512(half(from[0])), half(from[1]), 1);
    }
    static SUB8_INLINE Ints load_parts(const uint8_t* const (&from)[4]) {
        const auto quarter = [](const uint8_t* at) SUB8_INLINE_LAMBDA {
            return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
        };
        Ints v = _mm512_castsi128_si512(quarter(from[0]));
        v = _mm512_inserti32x4(v, quarter(from[1]), 1);
        v = _mm512_inserti32x4(v, quarter(from[2]), 2);
        return _mm512_inserti32x4(v, quarter(from[3]), 3);
    }
    static SUB8_INLINE void store(void* to, Ints v) { _mm512_storeu_si512(to, v); }
    static SUB8_INLINE Ints zero() { return _mm512_setzero_si512(); }
    static SUB8_INLINE Ints set8(int v) { return _mm512_set1_epi8(char(v)); }
    static SUB8_INLINE Ints set16(int v) { return _mm512_set1_epi16(int16_t(v)); }
    static SUB8_INLINE Ints set32(int v) { return _mm512_set1_epi32(v); }
    static SUB8_INLINE Ints set64(int64_t v) { return _mm512_set1_epi64(v); }
    static SUB8_INLINE Ints in_each_lane(__m128i v) { return _mm512_broadcast_i32x4(v); }

    static SUB8_INLINE Ints add32(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
    static SUB8_INLINE Ints add64(Ints a, Ints b) { return _mm512_add_epi64(a, b); }
    static SUB8_INLINE Ints mul32(Ints a, Ints b) { return _mm512_mullo_epi32(a, b); }
    static SUB8_INLINE Ints and_(Ints a, Ints b) { return _mm512_and_si512(a, b); }
    static SUB8_INLINE Ints or_(Ints a, Ints b) { return _mm512_or_si512(a, b); }
    static SUB8_INLINE Ints xor_(Ints a, Ints b) { return _mm512_xor_si512(a, b); }
    static SUB8_INLINE Ints sll32(Ints v, __m128i n) { return _mm512_sll_epi32(v, n); }
    static SUB8_INLINE Ints sra32(Ints v, __m128i n) { return _mm512_sra_epi32(v, n); }
    static SUB8_INLINE Ints mul_even32(Ints a, Ints b) { return _mm512_mul_epi32(a, b); }
    static SUB8_INLINE Ints odd32(Ints v) { return _mm512_srli_epi64(v, 32); }
    template <int which>
    static SUB8_INLINE Ints two_of_each(Ints a, Ints b) {
        return _mm512_castps_si512(
            _mm512_shuffle_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), which));
    }
    static SUB8_INLINE void part64(Ints first, Ints second, Ints& even, Ints& odd) {
        even =
            _mm512_permutex2var_epi64(first, _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), second);
        odd =
            _mm512_permutex2var_epi64(first, _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15), second);
    }
    static SUB8_INLINE Ints even_where_zero(Ints v, Ints where) {
        const __mmask16 found = _mm512_testn_epi32_mask(where, where);
        return _mm512_mask_and_epi32(v, found, v, _mm512_set1_epi32(-2));
    }

    static SUB8_INLINE Floats setf(float v) { return _mm512_set1_ps(v); }

    static SUB8_INLINE Floats loadf(const float* from) { return _mm512_loadu_ps(from); }
    static SUB8_INLINE Ints dot(Ints sums, Ints x, Ints w) {
        return _mm512_dpbusd_epi32(sums, x, w);
    }
    static SUB8_INLINE Ints add_product(Ints sum, Ints bytes, Ints factors) {
        return _mm512_dpwssd_epi32(sum, bytes, factors);
    }
    static SUB8_INLINE Ints rounded_sum(Ints v, Floats scale, Floats offset) {
        return _mm512_cvtps_epi32(_mm512_fmadd_ps(_mm512_cvtepi32_ps(v), scale, offset));
    }

    static SUB8_INLINE Ints unpack_low8(Ints a, Ints b) { return _mm512_unpacklo_epi8(a, b); }
    static SUB8_INLINE Ints unpack_high8(Ints a, Ints b) { return _mm512_unpackhi_epi8(a, b); }
    static SUB8_INLINE Ints unpack_low16(Ints a, Ints b) { return _mm512_unpacklo_epi16(a, b); }
    static SUB8_INLINE Ints unpack_high16(Ints a, Ints b) { return _mm512_unpackhi_epi16(a, b); }
    static SUB8_INLINE void transpose_lanes(const Ints (&v)[4], Ints (&out)[4]) {
        const Ints a = _mm512_shuffle_i32x4(v[0], v[1], 0x44);
        const Ints b = _mm512_shuffle_i32x4(v[0], v[1], 0xee);
        const Ints c = _mm512_shuffle_i32x4(v[2], v[3], 0x44);
        const Ints d = _mm512_shuffle_i32x4(v[2], v[3], 0xee);
        out[0] = _mm512_shuffle_i32x4(a, c, 0x88);
        out[1] = _mm512_shuffle_i32x4(a, c, 0xdd);
        out[2] = _mm512_shuffle_i32x4(b, d, 0x88);
        out[3] = _mm512_shuffle_i32x4(b, d, 0xdd);
    }

    static SUB8_INLINE Ints packs32(Ints a, Ints b) { return _mm512_packs_epi32(a, b); }
    static SUB8_INLINE Ints packs16(Ints a, Ints b) { return _mm512_packs_epi16(a, b); }
    static SUB8_INLINE Ints packus16(Ints a, Ints b) { return _mm512_packus_epi16(a, b); }
    static SUB8_INLINE Ints adds16(Ints a, Ints b) { return _mm512_adds_epi16(a, b); }
    static SUB8_INLINE Ints max_s8(Ints a, Ints b) { return _mm512_max_epi8(a, b); }
    static SUB8_INLINE Ints min_s8(Ints a, Ints b) { return _mm512_min_epi8(a, b); }
    static SUB8_INLINE Ints max_u8(Ints a, Ints b) { return _mm512_max_epu8(a, b); }
    static SUB8_INLINE Ints min_u8(Ints a, Ints b) { return _mm512_min_epu8(a, b); }
    static SUB8_INLINE Ints min16(Ints a, Ints b) { return _mm512_min_epi16(a, b); }
    static SUB8_INLINE Ints max16(Ints a, Ints b) { return _mm512_max_epi16(a, b); }
    static SUB8_INLINE Ints shuffle8(Ints v, Ints order) { return _mm512_shuffle_epi8(v, order); }
    static SUB8_INLINE Ints by_places(Ints v) {
        const Ints order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        return _mm512_permutexvar_epi32(order, v);
    }

    static SUB8_INLINE Ints extended(const uint8_t* from, bool is_signed) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
        return is_signed ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes);
    }
    template <int which>
    static SUB8_INLINE void store_half(uint8_t* to, Ints v) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_extracti64x4_epi64(v, which));
    }
    template <int which>
    static SUB8_INLINE void store_quarter(uint8_t* to, Ints v) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_extracti32x4_epi32(v, which));
    }
};

}  // namespace
}  // namespace sub8::kernels::avx512vnni
