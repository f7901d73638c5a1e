// Widened activations times int8 weights as they are stored (kernels/avx2/row.h).
#include "kernels/avx2/row.h"
#include "kernels/declarations.h"

namespace sub8::kernels::avx2 {
namespace {

void row8(const RowArguments& t) {
    const uint8_t* packed = t.packed;
    const uint8_t* alpha = t.alpha;
    const uint8_t* x = t.activations;
    Totals totals(t);
    for (int run = 0; run < t.runs; ++run, alpha += 2 * kPanel) {
        __m256i sum0 = _mm256_setzero_si256(), sum1 = sum0;
        const auto step = [&] {
            const __m128i* codes = reinterpret_cast<const __m128i*>(packed);
            const __m256i two = broadcast(x);
            const __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(codes));
            const __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(codes + 1));
            sum0 = _mm256_add_epi32(sum0, _mm256_madd_epi16(two, w0));
            sum1 = _mm256_add_epi32(sum1, _mm256_madd_epi16(two, w1));
            settle(sum0, sum1);
            packed += 32;
            x += 4;
        };
        by_twos(t.run_steps[run], packed, step);
        const __m256i alpha0 = first_alpha(alpha);
        const __m256i alpha1 = first_alpha(alpha + kPanel);
        totals.lower = _mm256_add_epi32(totals.lower, _mm256_mullo_epi32(sum0, alpha0));
        totals.upper = _mm256_add_epi32(totals.upper, _mm256_mullo_epi32(sum1, alpha1));
    }
    totals.store_to(t.acc);
}

}  // namespace

const RowKernel s16_w8_wide16_1x16 = {row8, Arithmetic::wide16};

}  // namespace sub8::kernels::avx2
