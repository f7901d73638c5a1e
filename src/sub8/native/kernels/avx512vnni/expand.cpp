// Packed weights to the kernels' operands (x86 AVX-512).
#include "kernels/avx512vnni/vectors.h"
#include "kernels/declarations.h"

namespace sub8::kernels::avx512vnni {
namespace {

SUB8_INLINE __m512i load_scales(const uint8_t* alpha) {
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(alpha)));
}

// The lower 8 bits do not depend on what lies above, nor on signs.
SUB8_INLINE __m512i product(__m512i codes, __m512i scales) {
    constexpr __mmask64 kOdd = 0xaaaaaaaaaaaaaaaa;
    const __m512i odd = _mm512_mullo_epi16(_mm512_maskz_mov_epi8(kOdd, codes), scales);
    return _mm512_mask_mov_epi8(_mm512_mullo_epi16(codes, scales), kOdd, odd);
}

#include "kernels/expand.inl"

}  // namespace

const Expand w2_expand = expand<2, 1>;
const Expand w4_expand = expand<4, 8>;
decltype(KernelSet::scale) const w8_scale = scale;

}  // namespace sub8::kernels::avx512vnni
