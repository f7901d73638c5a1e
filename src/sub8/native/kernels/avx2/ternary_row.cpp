// One row times one panel with 2-bit weights unpacked in registers (x86 AVX2).
//
// For products with one activation row nothing is reused, so weights go from memory to registers:
// codes t + 1 in {0, 1, 2} are multiplied as they are, and the sum of the activations of each int16
// lane is taken off once a run. |u8 * code pair| <= 1020, less the sum of the pair: the same +-510
// as with t, so 64 steps fit (partial sums wrap around in between, which is harmless).
#include "kernels/avx2/kernels.h"
#include "kernels/avx2/tile.h"

namespace sub8::avx2 {
namespace {

void ternary_row(const RowArguments& t) {
    const __m256i mask = _mm256_set1_epi8(3);
    const __m256i ones = _mm256_set1_epi8(1);
    const uint8_t* packed = t.packed;
    const uint8_t* alpha = t.alpha;
    const int32_t* offsets = t.offsets;
    __m256i acc0 = _mm256_setzero_si256(), acc1 = _mm256_setzero_si256();
    if (!t.first) {
        acc0 = load(t.acc);
        acc1 = load(t.acc + 8);
    }
    bool upper = false;  // a stored vector holds two steps; a run may begin with the second one
    for (int run = 0; run < t.runs; ++run, alpha += 2 * kPanel) {
        int steps = t.run_steps[run];
        __m256i s0 = _mm256_setzero_si256(), s1 = _mm256_setzero_si256(),
                sum = _mm256_setzero_si256();
        const auto lower_step = [&](__m256i p) {
            const __m256i x = broadcast(t.activations + *offsets++);
            s0 = _mm256_add_epi16(s0, _mm256_maddubs_epi16(x, _mm256_and_si256(p, mask)));
            s1 = _mm256_add_epi16(
                s1, _mm256_maddubs_epi16(x, _mm256_and_si256(_mm256_srli_epi16(p, 2), mask)));
            sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(x, ones));
        };
        if (upper) {
            lower_step(_mm256_srli_epi16(load_unaligned(packed), 4));
            packed += 32;
            --steps;
        }
        for (; steps >= 2; steps -= 2, packed += 32) {
            const __m256i p = load_unaligned(packed);
            lower_step(p);
            lower_step(_mm256_srli_epi16(p, 4));
        }
        upper = steps == 1;
        if (upper) lower_step(load_unaligned(packed));
        s0 = _mm256_sub_epi16(s0, sum);
        s1 = _mm256_sub_epi16(s1, sum);
        acc0 = _mm256_add_epi32(acc0, _mm256_madd_epi16(s0, load_alpha(alpha)));
        acc1 = _mm256_add_epi32(acc1, _mm256_madd_epi16(s1, load_alpha(alpha + kPanel)));
    }
    store(t.acc, acc0);
    store(t.acc + 8, acc1);
}

}  // namespace

void add_ternary_row(Kernels* kernels) { kernels->ternary_row = ternary_row; }

}  // namespace sub8::avx2
