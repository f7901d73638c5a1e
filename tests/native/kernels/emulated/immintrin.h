// The instructions beyond AVX2 that the kernels of avxvnni and avx512vnni use, in plain C++, each
// as Intel's guide defines it: in the place of the compiler's own header their sources become
// kernels that any CPU with AVX2 runs, to the bit as those of a CPU that has the instructions.
#pragma once

#include_next <immintrin.h>

#include <cstdint>
#include <cstring>

namespace emulated {

template <typename T, int bytes>
struct Vector {
    typedef T type __attribute__((vector_size(bytes)));
};
template <typename T>
using Of512 = typename Vector<T, 64>::type;
template <typename T>
using Of256 = typename Vector<T, 32>::type;
template <typename T>
using Of128 = typename Vector<T, 16>::type;

// The vector of f(0), f(1), ..
template <typename T, typename F>
inline __m512i each(const F& f) {
    Of512<T> result;
    for (int i = 0; i < int(64 / sizeof(T)); ++i) result[i] = T(f(i));
    return __m512i(result);
}

template <typename T>
inline __m512i set1(T value) {
    return each<T>([=](int) { return value; });
}

inline __m512i load(const void* from) {
    __m512i v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

inline void store(void* to, __m512i v) { std::memcpy(to, &v, sizeof v); }

// Bytes that the mask names, the others 0 and unread; or unwritten.
inline __m512i load_some(uint64_t mask, const void* from) {
    return each<uint8_t>(
        [=](int i) { return mask >> i & 1 ? static_cast<const uint8_t*>(from)[i] : 0; });
}

inline void store_some(void* to, uint64_t mask, __m512i v) {
    const Of512<uint8_t> x = Of512<uint8_t>(v);
    for (int i = 0; i < 64; ++i) {
        if (mask >> i & 1) static_cast<uint8_t*>(to)[i] = x[i];
    }
}

inline void store_words(void* to, uint32_t mask, __m256i v) {
    const Of256<uint32_t> x = Of256<uint32_t>(v);
    for (int i = 0; i < 8; ++i) {
        if (mask >> i & 1) static_cast<uint32_t*>(to)[i] = x[i];
    }
}

// As many elements as fill 64 bytes, from those of a narrower vector.
template <typename To, typename From, typename V>
inline __m512i extended(V from) {
    using Elements = typename Vector<From, sizeof(V)>::type;
    static_assert(64 / sizeof(To) == sizeof(V) / sizeof(From));
    const Elements elements = Elements(from);
    return each<To>([=](int i) { return elements[i]; });
}

template <typename T>
inline __m512i permuted(__m512i index, __m512i a) {
    constexpr int count = 64 / sizeof(T);
    const Of512<T> x = Of512<T>(a), from = Of512<T>(index);
    return each<T>([=](int i) { return x[from[i] & (count - 1)]; });
}

template <typename T>
inline __m512i permuted_of_two(__m512i a, __m512i index, __m512i b) {
    constexpr int count = 64 / sizeof(T);
    const Of512<T> x = Of512<T>(a), y = Of512<T>(b), from = Of512<T>(index);
    return each<T>([=](int i) {
        const int at = int(from[i] & (2 * count - 1));
        return at < count ? x[at] : y[at - count];
    });
}

template <typename T>
inline __m512i zeroed_but(uint64_t mask, __m512i a) {
    const Of512<T> x = Of512<T>(a);
    return each<T>([=](int i) { return mask >> i & 1 ? x[i] : T(0); });
}

template <typename T>
inline __m512i chosen(__m512i otherwise, uint64_t mask, __m512i a) {
    const Of512<T> x = Of512<T>(a), y = Of512<T>(otherwise);
    return each<T>([=](int i) { return mask >> i & 1 ? x[i] : y[i]; });
}

// int32 sums += products of four bytes, the first unsigned.
template <typename V>
inline V dpbusd(V sums, V a, V b) {
    using Unsigned = typename Vector<uint8_t, sizeof(V)>::type;
    using Signed = typename Vector<int8_t, sizeof(V)>::type;
    using Sums = typename Vector<uint32_t, sizeof(V)>::type;
    const Unsigned x = Unsigned(a);
    const Signed y = Signed(b);
    Sums result = Sums(sums);
    for (int i = 0; i < int(sizeof(V)); ++i) result[i / 4] += uint32_t(int32_t(x[i]) * y[i]);
    return V(result);
}

// int32 sums += products of two int16.
template <typename V>
inline V dpwssd(V sums, V a, V b) {
    using Words = typename Vector<int16_t, sizeof(V)>::type;
    using Sums = typename Vector<uint32_t, sizeof(V)>::type;
    const Words x = Words(a), y = Words(b);
    Sums result = Sums(sums);
    for (int i = 0; i < int(sizeof(V) / 2); ++i) result[i / 2] += uint32_t(int32_t(x[i]) * y[i]);
    return V(result);
}

inline __m256i half_of(__m512i v, int which) {
    __m256i half;
    std::memcpy(&half, reinterpret_cast<const char*>(&v) + 32 * which, sizeof half);
    return half;
}

inline __m256 half_of(__m512 v, int which) {
    __m256 half;
    std::memcpy(&half, reinterpret_cast<const char*>(&v) + 32 * which, sizeof half);
    return half;
}

// An instruction within lanes of 16 bytes is that of 256 bits on either half.
template <typename Result, typename F, typename... Operands>
inline Result by_halves(const F& f, Operands... operands) {
    Result result;
    for (int which = 0; which < 2; ++which) {
        const auto half = f(half_of(operands, which)...);
        std::memcpy(reinterpret_cast<char*>(&result) + 32 * which, &half, sizeof half);
    }
    return result;
}

inline __m128i lane_of(__m512i v, int which) {
    __m128i lane;
    std::memcpy(&lane, reinterpret_cast<const char*>(&v) + 16 * which, sizeof lane);
    return lane;
}

inline __m512i with_lane(__m512i v, __m128i lane, int which) {
    std::memcpy(reinterpret_cast<char*>(&v) + 16 * which, &lane, sizeof lane);
    return v;
}

inline __m512i joined(__m256i lower, __m256i upper) {
    __m512i both;
    std::memcpy(&both, &lower, sizeof lower);
    std::memcpy(reinterpret_cast<char*>(&both) + 32, &upper, sizeof upper);
    return both;
}

// Two lanes of either.
inline __m512i shuffled_lanes(__m512i a, __m512i b, int which) {
    __m128i lanes[4];
    for (int i = 0; i < 4; ++i) lanes[i] = lane_of(i < 2 ? a : b, which >> (2 * i) & 3);
    return load(lanes);
}

inline uint64_t highest_bits(__m512i a) {
    const Of512<uint8_t> x = Of512<uint8_t>(a);
    uint64_t mask = 0;
    for (int i = 0; i < 64; ++i) mask |= uint64_t(x[i] >> 7) << i;
    return mask;
}

inline uint16_t negatives32(__m512i a) {
    const Of512<int32_t> x = Of512<int32_t>(a);
    uint16_t mask = 0;
    for (int i = 0; i < 16; ++i) mask = uint16_t(mask | (x[i] < 0) << i);
    return mask;
}

// Whether a CPU has what not all with AVX-512 VNNI have: one does, the next one does not.
inline bool every_other_time() {
    static bool now = false;
    return now = !now;
}

// Which elements are 0.
inline uint32_t zeros32(__m512i a) {
    const Of512<int32_t> x = Of512<int32_t>(a);
    uint32_t mask = 0;
    for (int i = 0; i < 16; ++i) mask |= uint32_t(x[i] == 0) << i;
    return mask;
}

template <typename T, typename... Values>
inline __m512i set(Values... values) {
    static_assert(sizeof...(values) * sizeof(T) == 64);
    const T all[] = {T(values)...};
    return load(all);
}

}  // namespace emulated

#define SUB8_HALVES(result, f, ...) emulated::by_halves<result>(f, __VA_ARGS__)
#define SUB8_OF_TWO(name, a, b) \
    SUB8_HALVES(__m512i, ([](__m256i x, __m256i y) { return _mm256_##name(x, y); }), a, b)
#define SUB8_BY_COUNT(name, a, n) \
    SUB8_HALVES(__m512i, ([count = n](__m256i x) { return _mm256_##name(x, count); }), a)

#define _mm512_add_epi32(a, b) SUB8_OF_TWO(add_epi32, a, b)
#define _mm512_add_epi64(a, b) SUB8_OF_TWO(add_epi64, a, b)
#define _mm512_add_epi8(a, b) SUB8_OF_TWO(add_epi8, a, b)
#define _mm512_adds_epi16(a, b) SUB8_OF_TWO(adds_epi16, a, b)
#define _mm512_max_epi16(a, b) SUB8_OF_TWO(max_epi16, a, b)
#define _mm512_max_epi8(a, b) SUB8_OF_TWO(max_epi8, a, b)
#define _mm512_min_epi8(a, b) SUB8_OF_TWO(min_epi8, a, b)
#define _mm512_max_epu8(a, b) SUB8_OF_TWO(max_epu8, a, b)
#define _mm512_min_epu8(a, b) SUB8_OF_TWO(min_epu8, a, b)
#define _mm512_min_epi16(a, b) SUB8_OF_TWO(min_epi16, a, b)
#define _mm512_mul_epi32(a, b) SUB8_OF_TWO(mul_epi32, a, b)
#define _mm512_mullo_epi16(a, b) SUB8_OF_TWO(mullo_epi16, a, b)
#define _mm512_mullo_epi32(a, b) SUB8_OF_TWO(mullo_epi32, a, b)
#define _mm512_packs_epi16(a, b) SUB8_OF_TWO(packs_epi16, a, b)
#define _mm512_packs_epi32(a, b) SUB8_OF_TWO(packs_epi32, a, b)
#define _mm512_packus_epi16(a, b) SUB8_OF_TWO(packus_epi16, a, b)
#define _mm512_shuffle_epi8(a, b) SUB8_OF_TWO(shuffle_epi8, a, b)
#define _mm512_unpackhi_epi16(a, b) SUB8_OF_TWO(unpackhi_epi16, a, b)
#define _mm512_unpackhi_epi32(a, b) SUB8_OF_TWO(unpackhi_epi32, a, b)
#define _mm512_unpackhi_epi64(a, b) SUB8_OF_TWO(unpackhi_epi64, a, b)
#define _mm512_unpackhi_epi8(a, b) SUB8_OF_TWO(unpackhi_epi8, a, b)
#define _mm512_unpacklo_epi16(a, b) SUB8_OF_TWO(unpacklo_epi16, a, b)
#define _mm512_unpacklo_epi32(a, b) SUB8_OF_TWO(unpacklo_epi32, a, b)
#define _mm512_unpacklo_epi64(a, b) SUB8_OF_TWO(unpacklo_epi64, a, b)
#define _mm512_unpacklo_epi8(a, b) SUB8_OF_TWO(unpacklo_epi8, a, b)
#define _mm512_sll_epi32(a, n) SUB8_BY_COUNT(sll_epi32, a, n)
#undef _mm512_slli_epi16
#define _mm512_slli_epi16(a, n) SUB8_BY_COUNT(slli_epi16, a, n)
#undef _mm512_slli_epi32
#define _mm512_slli_epi32(a, n) SUB8_BY_COUNT(slli_epi32, a, n)
#define _mm512_sra_epi32(a, n) SUB8_BY_COUNT(sra_epi32, a, n)
#define _mm512_srli_epi16(a, n) SUB8_BY_COUNT(srli_epi16, a, n)
#define _mm512_srli_epi64(a, n) SUB8_BY_COUNT(srli_epi64, a, n)
#define _mm512_and_si512(a, b) ((a) & (b))
#define _mm512_or_si512(a, b) ((a) | (b))
#define _mm512_xor_si512(a, b) ((a) ^ (b))
#define _mm512_cvtepi32_ps(a) \
    SUB8_HALVES(__m512, ([](__m256i x) { return _mm256_cvtepi32_ps(x); }), a)
#define _mm512_cvtps_epi32(a) \
    SUB8_HALVES(__m512i, ([](__m256 x) { return _mm256_cvtps_epi32(x); }), a)
#define _mm512_fmadd_ps(a, b, c)                                                                 \
    SUB8_HALVES(__m512, ([](__m256 x, __m256 y, __m256 z) { return _mm256_fmadd_ps(x, y, z); }), \
                a, b, c)
#define _mm512_loadu_ps(from) __m512(emulated::load(from))
#define _mm512_mul_ps(a, b) ((a) * (b))
#define _mm512_set1_ps(value) (__m512{} + (value))
#define _mm512_castps_si512(a) __m512i(a)
#define _mm512_castsi512_ps(a) __m512(a)
#undef _mm512_shuffle_ps
#define _mm512_shuffle_ps(a, b, which) \
    SUB8_HALVES(__m512, ([](__m256 x, __m256 y) { return _mm256_shuffle_ps(x, y, which); }), a, b)

// Elements between lanes.
#define _mm512_broadcast_i32x4(a) \
    emulated::each<int32_t>([v = emulated::Of128<int32_t>(a)](int i) { return v[i % 4]; })
#define _mm512_castsi512_si256(a) emulated::half_of(a, 0)
#define _mm512_castsi256_si512(a) emulated::joined(a, __m256i{})
#define _mm512_castsi128_si512(a) emulated::with_lane(__m512i{}, a, 0)
#undef _mm512_inserti32x4
#define _mm512_inserti32x4 emulated::with_lane
#undef _mm512_inserti64x4
#define _mm512_inserti64x4(a, b, which) emulated::joined(emulated::half_of(a, 0), b)
#define _mm512_broadcast_i64x4(a) emulated::joined(a, a)
#undef _mm512_shuffle_i32x4
#define _mm512_shuffle_i32x4 emulated::shuffled_lanes
#undef _mm512_extracti32x4_epi32
#define _mm512_extracti32x4_epi32 emulated::lane_of
#undef _mm512_extracti64x4_epi64
#define _mm512_extracti64x4_epi64 emulated::half_of
#define _mm512_cvtepi8_epi16 emulated::extended<int16_t, int8_t>
#define _mm512_cvtepu8_epi16 emulated::extended<uint16_t, uint8_t>
#define _mm512_cvtepi8_epi32 emulated::extended<int32_t, int8_t>
#define _mm512_cvtepu8_epi32 emulated::extended<int32_t, uint8_t>
#define _mm512_cvtepu16_epi32 emulated::extended<uint32_t, uint16_t>
#define _mm512_permutex2var_epi8 emulated::permuted_of_two<uint8_t>
#define _mm512_permutex2var_epi64 emulated::permuted_of_two<uint64_t>
#define _mm512_permutexvar_epi32 emulated::permuted<uint32_t>

#define _mm256_dpwssd_avx_epi32 emulated::dpwssd
#define _mm256_dpbusd_avx_epi32 emulated::dpbusd
#define _mm512_dpbusd_epi32 emulated::dpbusd
#define _mm512_dpwssd_epi32 emulated::dpwssd

#define _mm512_loadu_si512 emulated::load
#define _mm512_storeu_si512 emulated::store
#define _mm512_set1_epi8 emulated::set1<int8_t>
#define _mm512_set1_epi16 emulated::set1<int16_t>
#define _mm512_set1_epi32 emulated::set1<int32_t>
#define _mm512_set1_epi64 emulated::set1<int64_t>
#undef _mm512_setr_epi32
#define _mm512_setr_epi32 emulated::set<int32_t>
#undef _mm512_setr_epi64
#define _mm512_setr_epi64 emulated::set<int64_t>
#define _mm512_setzero_si512() emulated::set1<int32_t>(0)

// Masks.
#define _mm512_mask_mov_epi8 emulated::chosen<uint8_t>
#define _mm512_mask_and_epi32(otherwise, mask, a, b) \
    emulated::chosen<int32_t>(otherwise, mask, (a) & (b))
#define _mm512_maskz_srai_epi32(mask, a, n) \
    emulated::zeroed_but<int32_t>(mask, SUB8_BY_COUNT(srai_epi32, a, n))
#define _mm256_mask_storeu_epi32 emulated::store_words
#define _mm512_maskz_loadu_epi8 emulated::load_some
#define _mm512_mask_storeu_epi8 emulated::store_some
#define _mm512_movepi8_mask emulated::highest_bits
#define _mm512_movepi32_mask emulated::negatives32
#define _mm512_mask_blend_ps(mask, otherwise, a) \
    __m512(emulated::chosen<int32_t>(__m512i(otherwise), mask, __m512i(a)))
#define _mm512_testn_epi32_mask(a, b) emulated::zeros32((a) & (b))

#define SUB8_HAS_VBMI emulated::every_other_time()
#define SUB8_WITH_VBMI

// Instead of assembly (kernels/vnni.inl).
#define SUB8_VNNI_STEP(name, instruction)                                                  \
    inline void name(const uint8_t* a, Vector w0, Vector w1, Vector& sum0, Vector& sum1) { \
        int32_t word;                                                                      \
        std::memcpy(&word, a, sizeof word);                                                \
        typedef int32_t Words __attribute__((vector_size(sizeof(Vector))));                \
        const Vector x = Vector(Words{} + word);                                           \
        const bool bytes = std::strcmp(instruction, "vpdpbusd") == 0;                      \
        sum0 = bytes ? emulated::dpbusd(sum0, x, w0) : emulated::dpwssd(sum0, x, w0);      \
        sum1 = bytes ? emulated::dpbusd(sum1, x, w1) : emulated::dpwssd(sum1, x, w1);      \
    }
