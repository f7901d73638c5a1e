// Depthwise convolution, 32 channels x pairs of taps (x86 AVX2).
//
// Bytes of two taps are interleaved, so that vpmaddubsw multiplies them with both taps' weights;
// weights come in two parts small enough that int16 sums never saturate (kernels.h), joined by one
// vpmaddwd at the end.
#include "kernels/avx2/kernels.h"
#include "kernels/avx2/tile.h"

namespace sub8::avx2 {
namespace {

// Unpacking works within 128-bit halves: place j of a vector pair holds this channel.
constexpr uint8_t kOrder[kDepthwiseBlock] = {0,  1,  2,  3,  4,  5,  6,  7,  16, 17, 18,
                                             19, 20, 21, 22, 23, 8,  9,  10, 11, 12, 13,
                                             14, 15, 24, 25, 26, 27, 28, 29, 30, 31};

struct Output {
    const DepthwiseArguments& t;
    __m128i shift;

    explicit Output(const DepthwiseArguments& arguments)
        : t(arguments), shift(_mm_cvtsi32_si128(arguments.left_shift)) {}

    // 8 channels, low and high parts interleaved: four from `place`, which are channels from
    // `first`, and four from place + 8, channels from `second`.
    void operator()(int32_t* acc, __m256i parts, int place, int first, int second) const {
        const __m128i* factors = reinterpret_cast<const __m128i*>(t.factors + 2 * place);
        const __m256i both =
            _mm256_set_m128i(_mm_loadu_si128(factors + 2), _mm_loadu_si128(factors));
        __m256i sum = _mm256_madd_epi16(parts, both);
        sum = _mm256_sll_epi32(sum, shift);
        __m128i lower = _mm256_castsi256_si128(sum);
        __m128i upper = _mm256_extracti128_si256(sum, 1);
        __m128i* to_lower = reinterpret_cast<__m128i*>(acc + first);
        __m128i* to_upper = reinterpret_cast<__m128i*>(acc + second);
        if (!t.first) {
            lower = _mm_add_epi32(lower, _mm_loadu_si128(to_lower));
            upper = _mm_add_epi32(upper, _mm_loadu_si128(to_upper));
        }
        _mm_storeu_si128(to_lower, lower);
        _mm_storeu_si128(to_upper, upper);
    }
};

void depthwise(const DepthwiseArguments& t) {
    const __m256i flip = _mm256_set1_epi8(char(t.flip));
    const Output output(t);
    for (int p = 0; p < t.positions; ++p) {
        __m256i low0 = _mm256_setzero_si256(), low1 = low0, high0 = low0, high1 = low0;
        const int8_t* w = t.weights;
        for (int pair = 0; pair < t.pairs; ++pair, w += kDepthwiseStep) {
            const __m256i x0 =
                _mm256_xor_si256(load_unaligned(t.rows[2 * pair] + p * t.steps[2 * pair]), flip);
            const __m256i x1 = _mm256_xor_si256(
                load_unaligned(t.rows[2 * pair + 1] + p * t.steps[2 * pair + 1]), flip);
            const __m256i a = _mm256_unpacklo_epi8(x0, x1);
            const __m256i b = _mm256_unpackhi_epi8(x0, x1);
            low0 = _mm256_add_epi16(low0, _mm256_maddubs_epi16(a, load_unaligned(w)));
            low1 = _mm256_add_epi16(low1, _mm256_maddubs_epi16(b, load_unaligned(w + 32)));
            high0 = _mm256_add_epi16(high0, _mm256_maddubs_epi16(a, load_unaligned(w + 64)));
            high1 = _mm256_add_epi16(high1, _mm256_maddubs_epi16(b, load_unaligned(w + 96)));
        }
        int32_t* acc = t.acc + p * t.acc_pitch;
        output(acc, _mm256_unpacklo_epi16(low0, high0), 0, 0, 16);
        output(acc, _mm256_unpackhi_epi16(low0, high0), 4, 4, 20);
        output(acc, _mm256_unpacklo_epi16(low1, high1), 16, 8, 24);
        output(acc, _mm256_unpackhi_epi16(low1, high1), 20, 12, 28);
    }
}

}  // namespace

void add_depthwise(Kernels* kernels) {
    kernels->depthwise = depthwise;
    for (int j = 0; j < kDepthwiseBlock; ++j) kernels->depthwise_order[j] = kOrder[j];
}

}  // namespace sub8::avx2
