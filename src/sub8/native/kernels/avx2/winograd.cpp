// Winograd's transforms (x86 AVX2).
#include "kernels/winograd.h"

#include "kernels/avx2/tile.h"
#include "kernels/avx2/winograd_channels.h"
#include "kernels/declarations.h"

namespace sub8::kernels::avx2 {
namespace {

SUB8_INLINE __m256i sign_extended(const int8_t* from) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
SUB8_INLINE __m256i scales_of(const uint8_t* from) { return load_alpha(from); }
SUB8_INLINE __m256i in_each_lane(__m128i bytes) { return _mm256_broadcastsi128_si256(bytes); }
SUB8_INLINE __m256i shuffled(__m256i bytes, __m256i order) {
    return _mm256_shuffle_epi8(bytes, order);
}
using WideChannels = Channels16;
using NarrowChannels = Channels16;

#include "kernels/winograd.inl"

}  // namespace

const WinogradForms* const winograd = &kForms;

}  // namespace sub8::kernels::avx2
