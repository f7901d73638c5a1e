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
};
using NarrowChannels = avx2::Channels16;

#include "kernels/winograd.inl"

}  // namespace

const WinogradForms* const winograd = &kForms;

}  // namespace sub8::kernels::avx512vnni
