// Packed weights to the kernels' operands (x86 AVX-512).
#include "kernels/avx512vnni/vectors.h"
#include "kernels/declarations.h"

namespace sub8::kernels::avx512vnni {
namespace {

struct Scales {
    __m512i factors, bytes;  // factors: words
};
SUB8_INLINE Scales load_scales(const uint8_t* alpha) {
    const __m512i words =
        _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(alpha)));
    return {words, _mm512_or_si512(words, _mm512_slli_epi16(words, 8))};
}
// Of two bytes at once: nothing is carried.
SUB8_INLINE __m512i times(__m512i codes, __m512i factors) {
    return _mm512_mullo_epi16(codes, factors);
}

#include "kernels/expand.inl"

}  // namespace

const Expand w2_expand = expand<2, 1>;
const Expand w4_expand = expand<4, 8>;
const ExpandScaled w2_expand_scaled = expand_scaled;

}  // namespace sub8::kernels::avx512vnni
