// Winograd's transforms (x86 AVX-512). Vectors of 512 bits, but for 16 channels left over: the stem
// has no more, and 512 bits would do as much work for half of the results.
#include "kernels/winograd.h"

#include "kernels/avx512vnni/vectors.h"
#include "kernels/declarations.h"

// After vectors.h.
#include "kernels/avx2/winograd_channels.h"

namespace sub8::kernels::avx512vnni {
namespace {

SUB8_INLINE __m512i sign_extended(const int8_t* from) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
SUB8_INLINE __m512i scales_of(const uint8_t* from) {
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
SUB8_INLINE __m512i in_each_lane(__m128i bytes) { return _mm512_broadcast_i32x4(bytes); }
SUB8_INLINE __m512i shuffled(__m512i bytes, __m512i order) {
    return _mm512_shuffle_epi8(bytes, order);
}

struct WideChannels {
    static constexpr int count = 32;
    typedef uint16_t Words __attribute__((vector_size(64)));

    static SUB8_INLINE Words load(const uint8_t* from, uint8_t flip) {
        const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
        return Words(_mm512_cvtepu8_epi16(_mm256_xor_si256(bytes, _mm256_set1_epi8(char(flip)))));
    }

    // 8 x 16 words of 32 bits. Pairs 4i + k, i = 0..3, come to lie in the lanes i of two vectors,
    // one of four tiles each, and are put together for i = 0, 1 and for i = 2, 3.
    static SUB8_INLINE void write(const Words* tiles, int count, uint32_t* out, ptrdiff_t pitch) {
        __m512i v[8], a[8], b[8];
        for (int t = 0; t < 8; ++t) v[t] = __m512i(tiles[t < count ? t : count - 1]);
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
        const auto put = [=](int pair, __m512i two) SUB8_INLINE_LAMBDA {
            __m256i* const to = reinterpret_cast<__m256i*>(out + pair * pitch);
            __m256i* const next = reinterpret_cast<__m256i*>(out + (pair + 4) * pitch);
            _mm256_storeu_si256(to, _mm512_castsi512_si256(two));
            _mm256_storeu_si256(next, _mm512_extracti64x4_epi64(two, 1));
        };
        for (int k = 0; k < 4; ++k) {
            put(k, _mm512_permutex2var_epi64(b[k], lower, b[k + 4]));
            put(k + 8, _mm512_permutex2var_epi64(b[k], upper, b[k + 4]));
        }
    }
};
using NarrowChannels = avx2::Channels16;

#include "kernels/winograd.inl"

}  // namespace

const WinogradForms* const winograd = &kForms;

}  // namespace sub8::kernels::avx512vnni
