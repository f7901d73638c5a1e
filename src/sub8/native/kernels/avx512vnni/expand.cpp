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

}  // namespace

const Expand w2_expand = expand2;
const Expand w4_expand = expand4;

}  // namespace sub8::kernels::avx512vnni
