// Packed weights to the kernels' operands (x86 AVX-512).
#include <immintrin.h>

#include "kernels/declarations.h"

namespace sub8::kernels::avx512vnni {
namespace {

void expand2(const uint8_t* packed, int vectors, int8_t* out) {
    const __m512i mask = _mm512_set1_epi8(3);
    const __m512i one = _mm512_set1_epi8(1);
    for (int unit = 0; unit < vectors / 4; ++unit, packed += 64, out += 256) {
        const __m512i p = _mm512_loadu_si512(packed);
        const auto field = [&](__m512i shifted) {
            return _mm512_sub_epi8(_mm512_and_si512(shifted, mask), one);
        };
        _mm512_storeu_si512(out, field(p));
        _mm512_storeu_si512(out + 64, field(_mm512_srli_epi16(p, 2)));
        _mm512_storeu_si512(out + 128, field(_mm512_srli_epi16(p, 4)));
        _mm512_storeu_si512(out + 192, field(_mm512_srli_epi16(p, 6)));
    }
}

void expand4(const uint8_t* packed, int vectors, int8_t* out) {
    const __m512i mask = _mm512_set1_epi8(15);
    const __m512i eight = _mm512_set1_epi8(8);
    for (int unit = 0; unit < vectors / 2; ++unit, packed += 64, out += 128) {
        const __m512i p = _mm512_loadu_si512(packed);
        _mm512_storeu_si512(out, _mm512_sub_epi8(_mm512_and_si512(p, mask), eight));
        _mm512_storeu_si512(
            out + 64, _mm512_sub_epi8(_mm512_and_si512(_mm512_srli_epi16(p, 4), mask), eight));
    }
}

// The lower 8 bits of products do not depend on what lies above, nor on signs.
void scale(const int8_t* codes, const uint8_t* alpha, const uint16_t* run_steps, int runs,
           int8_t* out) {
    constexpr __mmask64 kOdd = 0xaaaaaaaaaaaaaaaa;
    const auto scales = [](const uint8_t* from) {  // of 16 outputs, a pair of lanes each
        return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    };
    const auto product = [=](__m512i c, __m512i a) {
        const __m512i odd = _mm512_mullo_epi16(_mm512_maskz_mov_epi8(kOdd, c), a);
        return _mm512_mask_mov_epi8(_mm512_mullo_epi16(c, a), kOdd, odd);
    };
    for (int run = 0; run < runs; ++run, alpha += 64) {
        const __m512i alpha0 = scales(alpha), alpha1 = scales(alpha + 32);
        for (int k = 0; k < run_steps[run]; ++k, codes += 128, out += 128) {
            const __m512i c0 = _mm512_loadu_si512(codes), c1 = _mm512_loadu_si512(codes + 64);
            _mm512_storeu_si512(out, product(c0, alpha0));
            _mm512_storeu_si512(out + 64, product(c1, alpha1));
        }
    }
}

}  // namespace

const Expand w2_expand = expand2;
const Expand w4_expand = expand4;
decltype(KernelSet::scale) const w8_scale = scale;

}  // namespace sub8::kernels::avx512vnni
