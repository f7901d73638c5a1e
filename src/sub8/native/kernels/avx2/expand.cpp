// Packed weights to the kernels' operands (x86 AVX2).
#include "kernels/avx2/kernels.h"
#include "kernels/avx2/tile.h"

namespace sub8::avx2 {
namespace {

void expand2(const uint8_t* packed, int vectors, int8_t* out) {
    const __m256i mask = _mm256_set1_epi8(3);
    const __m256i one = _mm256_set1_epi8(1);
    for (int unit = 0; unit < vectors / 4; ++unit, packed += 32, out += 128) {
        const __m256i p = load_unaligned(packed);
        store(out, _mm256_sub_epi8(_mm256_and_si256(p, mask), one));
        store(out + 32, _mm256_sub_epi8(_mm256_and_si256(_mm256_srli_epi16(p, 2), mask), one));
        store(out + 64, _mm256_sub_epi8(_mm256_and_si256(_mm256_srli_epi16(p, 4), mask), one));
        store(out + 96, _mm256_sub_epi8(_mm256_and_si256(_mm256_srli_epi16(p, 6), mask), one));
    }
}

void expand4(const uint8_t* packed, int vectors, int8_t* out) {
    const __m256i mask = _mm256_set1_epi8(15);
    const __m256i eight = _mm256_set1_epi8(8);
    for (int unit = 0; unit < vectors / 2; ++unit, packed += 32, out += 64) {
        const __m256i p = load_unaligned(packed);
        store(out, _mm256_sub_epi8(_mm256_and_si256(p, mask), eight));
        store(out + 32, _mm256_sub_epi8(_mm256_and_si256(_mm256_srli_epi16(p, 4), mask), eight));
    }
}

void widen(const int8_t* codes, const uint8_t* alpha, const uint16_t* run_steps, int runs,
           int16_t* out) {
    for (int run = 0; run < runs; ++run, alpha += 2 * kPanel) {
        const __m256i alpha0 = load_alpha(alpha);
        const __m256i alpha1 = load_alpha(alpha + kPanel);
        for (int k = 0; k < run_steps[run]; ++k, codes += 32, out += 32) {
            const __m256i c0 =
                _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
            const __m256i c1 =
                _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + 16)));
            store(out, _mm256_mullo_epi16(c0, alpha0));
            store(out + 16, _mm256_mullo_epi16(c1, alpha1));
        }
    }
}

}  // namespace

void add_expand(Kernels* kernels) {
    kernels->expand2 = expand2;
    kernels->expand4 = expand4;
    kernels->widen = widen;
}

}  // namespace sub8::avx2
