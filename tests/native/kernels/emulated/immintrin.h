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

// Elements of 64 bytes, those of a narrower vector extended.
template <typename To, typename From, typename Narrow>
inline __m512i extended(Narrow from) {
    using Elements = typename Vector<From, sizeof(Narrow)>::type;
    const Elements elements = Elements(from);
    return each<To>([=](int i) { return elements[i]; });
}

// Within lanes of 16 bytes: of each two, alternately from a and b, those of the lower or upper
// half.
template <typename T, bool upper>
inline __m512i unpacked(__m512i a, __m512i b) {
    constexpr int lane = 16 / sizeof(T);
    const Of512<T> x = Of512<T>(a), y = Of512<T>(b);
    return each<T>([=](int i) {
        const int from = i / lane * lane + i % lane / 2 + (upper ? lane / 2 : 0);
        return i % 2 == 0 ? x[from] : y[from];
    });
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

inline __m512i shuffle_epi8(__m512i a, __m512i order) {
    const Of512<uint8_t> x = Of512<uint8_t>(a), from = Of512<uint8_t>(order);
    return each<uint8_t>(
        [=](int i) { return from[i] & 0x80 ? 0 : x[i / 16 * 16 + (from[i] & 15)]; });
}

template <typename T>
inline __m512i multiplied(__m512i a, __m512i b) {
    const Of512<T> x = Of512<T>(a), y = Of512<T>(b);
    return each<T>([=](int i) { return T(uint64_t(x[i]) * uint64_t(y[i])); });
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

inline __m512i set_epi64(int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f,
                         int64_t g, int64_t h) {
    const int64_t values[] = {a, b, c, d, e, f, g, h};
    return load(values);
}

}  // namespace emulated

#define _mm256_dpwssd_avx_epi32 emulated::dpwssd
#define _mm512_add_epi32(a, b) __m512i(emulated::Of512<uint32_t>(a) + emulated::Of512<uint32_t>(b))
#define _mm512_and_si512(a, b) ((a) & (b))
#define _mm512_broadcast_i32x4(a) \
    emulated::each<int32_t>([v = emulated::Of128<int32_t>(a)](int i) { return v[i % 4]; })
#define _mm512_castsi512_si256(a) emulated::half_of(a, 0)
#define _mm512_extracti64x4_epi64 emulated::half_of
#define _mm512_cvtepi8_epi16 emulated::extended<int16_t, int8_t>
#define _mm512_cvtepu8_epi16 emulated::extended<uint16_t, uint8_t>
#define _mm512_cvtepu16_epi32 emulated::extended<uint32_t, uint16_t>
#define _mm512_dpbusd_epi32 emulated::dpbusd
#define _mm512_dpwssd_epi32 emulated::dpwssd
#define _mm512_loadu_si512 emulated::load
#define _mm512_storeu_si512 emulated::store
#define _mm512_mask_mov_epi8 emulated::chosen<uint8_t>
#define _mm512_maskz_mov_epi8 emulated::zeroed_but<uint8_t>
#define _mm512_mullo_epi16 emulated::multiplied<uint16_t>
#define _mm512_mullo_epi32 emulated::multiplied<uint32_t>
#define _mm512_permutex2var_epi64 emulated::permuted_of_two<uint64_t>
#define _mm512_set1_epi8 emulated::set1<int8_t>
#define _mm512_set1_epi32 emulated::set1<int32_t>
#undef _mm512_setr_epi64
#define _mm512_setr_epi64 emulated::set_epi64
#define _mm512_setzero_si512() emulated::set1<int32_t>(0)
#define _mm512_shuffle_epi8 emulated::shuffle_epi8
#define _mm512_maskz_srai_epi32(mask, a, count) \
    emulated::zeroed_but<int32_t>(mask, __m512i(emulated::Of512<int32_t>(a) >> (count)))
#define _mm512_srli_epi16(a, count) __m512i(emulated::Of512<uint16_t>(a) >> (count))
#define _mm512_unpackhi_epi32 emulated::unpacked<uint32_t, true>
#define _mm512_unpacklo_epi32 emulated::unpacked<uint32_t, false>
#define _mm512_unpackhi_epi64 emulated::unpacked<uint64_t, true>
#define _mm512_unpacklo_epi64 emulated::unpacked<uint64_t, false>

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
