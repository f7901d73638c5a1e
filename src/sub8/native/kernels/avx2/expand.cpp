// Packed weights to the kernels' operands (x86 AVX2).
#include "kernels/avx2/tile.h"
#include "kernels/declarations.h"

namespace sub8::kernels::avx2 {
namespace {

struct Scales {
    __m256i factors, bytes;  // factors: words
};
SUB8_INLINE Scales load_scales(const uint8_t* alpha) {
    const __m256i words = load_alpha(alpha);
    return {words, _mm256_or_si256(words, _mm256_slli_epi16(words, 8))};
}
// Of two bytes at once: nothing is carried.
SUB8_INLINE __m256i times(__m256i codes, __m256i factors) {
    return _mm256_mullo_epi16(codes, factors);
}

#include "kernels/expand.inl"

// Half a byte holds two codes; what each of them is, by all its 16 values.
void expand2(const uint8_t* packed, int rows, int8_t* out) {
    const __m256i first = _mm256_setr_epi8(-1, 0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2, -1,
                                           0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2);
    const __m256i second = _mm256_setr_epi8(-1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, -1,
                                            -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2);
    for_each_vector<4>(packed, rows, out, [=](__m256i p, int8_t* place) SUB8_INLINE_LAMBDA {
        const __m256i lower = __m256i(field<4, 0>(p));
        const __m256i upper = __m256i(field<4, 4>(p));
        store(place, _mm256_shuffle_epi8(first, lower));
        store(place + kRow, _mm256_shuffle_epi8(second, lower));
        store(place + 2 * kRow, _mm256_shuffle_epi8(first, upper));
        store(place + 3 * kRow, _mm256_shuffle_epi8(second, upper));
    });
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

const Expand w2_expand = expand2;
const Expand w4_expand = expand<4, 8>;
const ExpandScaled w2_expand_scaled = expand_scaled;
decltype(KernelSet::widen) const w8_widen = widen;

}  // namespace sub8::kernels::avx2
