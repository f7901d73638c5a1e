// u8 times ternary codes as they are stored, 2 bits each: one row x 32 outputs (x86 AVX-512 with
// VNNI).
#include "kernels/avx512vnni/vectors.h"
#include "kernels/declarations.h"

namespace sub8::kernels::avx512vnni {
namespace {

// Codes t + 1 are multiplied as they are, less the sum of the activations. The upper outputs'
// fields are multiplied where they are, four times too large.
void row2(const RowArguments& t) {
    const __m512i lower_field = _mm512_set1_epi8(0x03);
    const __m512i upper_field = _mm512_set1_epi8(0x0c);
    const uint8_t* packed = t.packed;
    const uint8_t* alpha = t.alpha;
    const uint8_t* activations = t.activations;
    __m512i acc0 = _mm512_setzero_si512(), acc1 = acc0;
    if (!t.first) {
        acc0 = load(t.acc);
        acc1 = load(t.acc + 16);
    }
    bool odd = false;  // whether the run begins with the second step of a stored vector
    for (int run = 0; run < t.runs; ++run, alpha += 2 * kPanel) {
        __m512i sum0 = _mm512_setzero_si512(), four_times = sum0, sum2 = sum0, four_times2 = sum0;
        int steps = t.run_steps[run];
        const auto first_step = [&](__m512i fields) {
            const __m512i x = broadcast(activations);
            activations += 4;
            sum0 = _mm512_dpbusd_epi32(sum0, x, _mm512_and_si512(fields, lower_field));
            four_times = _mm512_dpbusd_epi32(four_times, x, _mm512_and_si512(fields, upper_field));
        };
        const auto second_step = [&](__m512i fields) {
            const __m512i x = broadcast(activations);
            activations += 4;
            fields = _mm512_srli_epi16(fields, 4);
            sum2 = _mm512_dpbusd_epi32(sum2, x, _mm512_and_si512(fields, lower_field));
            four_times2 =
                _mm512_dpbusd_epi32(four_times2, x, _mm512_and_si512(fields, upper_field));
        };
        if (odd) {
            second_step(load(packed));
            packed += 64;
            --steps;
        }
        for (; steps >= 2; steps -= 2, packed += 64) {
            const __m512i fields = load(packed);
            first_step(fields);
            second_step(fields);
        }
        odd = steps == 1;
        if (odd) first_step(load(packed));
        const __m512i correction = _mm512_set1_epi32(t.corrections[run]);
        sum0 = _mm512_add_epi32(_mm512_add_epi32(sum0, sum2), correction);
        const __m512i sum1 = _mm512_add_epi32(
            _mm512_maskz_srai_epi32(0xffff, _mm512_add_epi32(four_times, four_times2), 2),
            correction);
        acc0 = _mm512_add_epi32(acc0, _mm512_mullo_epi32(sum0, first_alpha(alpha)));
        acc1 = _mm512_add_epi32(acc1, _mm512_mullo_epi32(sum1, first_alpha(alpha + kPanel)));
    }
    store(t.acc, acc0);
    store(t.acc + 16, acc1);
}

}  // namespace

const RowKernel u8_w2_dotruns_1x32 = {row2, Arithmetic::dotruns};

}  // namespace sub8::kernels::avx512vnni
