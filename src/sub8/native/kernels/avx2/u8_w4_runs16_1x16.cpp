// u8 times int4 codes as they are stored, 4 bits each (kernels/avx2/row.h).
#include "kernels/avx2/row.h"
#include "kernels/declarations.h"

namespace sub8::kernels::avx2 {
namespace {

void row4(const RowArguments& t) {
    const __m256i mask = _mm256_set1_epi8(0x0f);
    const uint8_t* packed = t.packed;
    const uint8_t* alpha = t.alpha;
    const uint8_t* x = t.activations;
    Totals totals(t);
    for (int run = 0; run < t.runs; ++run, alpha += 2 * kPanel) {
        const __m256i correction = _mm256_slli_epi16(_mm256_set1_epi32(t.corrections[run]), 3);
        __m256i sum0 = correction, sum1 = correction;
        const auto step = [&] {
            const __m256i fields = load_unaligned(packed);
            const __m256i four = broadcast(x);
            const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(fields, 4), mask);
            sum0 =
                _mm256_add_epi16(sum0, _mm256_maddubs_epi16(four, _mm256_and_si256(fields, mask)));
            sum1 = _mm256_add_epi16(sum1, _mm256_maddubs_epi16(four, upper));
            settle(sum0, sum1);
            packed += 32;
            x += 4;
        };
        by_twos(t.run_steps[run], packed, step);
        totals.add(sum0, sum1, alpha);
    }
    totals.store_to(t.acc);
}

}  // namespace

const RowKernel u8_w4_runs16_1x16 = {row4, Arithmetic::runs16};

}  // namespace sub8::kernels::avx2
