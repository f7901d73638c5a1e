// Packed weights to the kernels' operands (x86 AVX2).
#include "kernels/avx2/tile.h"
#include "kernels/declarations.h"

namespace sub8::kernels::avx2 {
namespace {

void expand2(const uint8_t* packed, int vectors, int8_t* out) {
    // Half a byte holds two codes; what each of them is, by all its 16 values.
    const __m256i mask = _mm256_set1_epi8(15);
    const __m256i first = _mm256_setr_epi8(-1, 0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2, -1,
                                           0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2);
    const __m256i second = _mm256_setr_epi8(-1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, -1,
                                            -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2);
    for (int unit = 0; unit < vectors / 4; ++unit, packed += 32, out += 128) {
        const __m256i p = load_unaligned(packed);
        const __m256i lower = _mm256_and_si256(p, mask);
        const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(p, 4), mask);
        store(out, _mm256_shuffle_epi8(first, lower));
        store(out + 32, _mm256_shuffle_epi8(second, lower));
        store(out + 64, _mm256_shuffle_epi8(first, upper));
        store(out + 96, _mm256_shuffle_epi8(second, upper));
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

// The lower 8 bits of products do not depend on what lies above, nor on signs.
void scale(const int8_t* codes, const uint8_t* alpha, const uint16_t* run_steps, int runs,
           int8_t* out) {
    const __m256i upper = _mm256_set1_epi16(int16_t(0xff00));
    const auto product = [=](__m256i c, __m256i a) {
        const __m256i even = _mm256_mullo_epi16(c, a);
        const __m256i odd = _mm256_mullo_epi16(_mm256_and_si256(c, upper), a);
        return _mm256_blendv_epi8(even, odd, upper);
    };
    for (int run = 0; run < runs; ++run, alpha += 2 * kPanel) {
        const __m256i alpha0 = load_alpha(alpha);
        const __m256i alpha1 = load_alpha(alpha + kPanel);
        for (int k = 0; k < run_steps[run]; ++k, codes += 64, out += 64) {
            const __m256i c0 = load_unaligned(codes), c1 = load_unaligned(codes + 32);
            store(out, product(c0, alpha0));
            store(out + 32, product(c1, alpha1));
        }
    }
}

}  // namespace

const Expand w2_expand = expand2;
const Expand w4_expand = expand4;
decltype(KernelSet::widen) const w8_widen = widen;
decltype(KernelSet::scale) const w8_scale = scale;

}  // namespace sub8::kernels::avx2
