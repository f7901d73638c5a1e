// u8 times ternary codes as they are stored, 2 bits each (kernels/avx2/row.h).
#include "kernels/avx2/row.h"
#include "kernels/declarations.h"

namespace sub8::kernels::avx2 {
namespace {

// A stored vector holds two steps, each of a field for the lower outputs and the next one for the
// upper ones. Upper fields are multiplied where they are, four times too large: 16 steps of 4 * 2 *
// 2 * 255 fit 16 bits unsigned, and are shifted down then.
struct TernarySums {
    const __m256i lower_field = _mm256_set1_epi8(0x03);
    const __m256i upper_field = _mm256_set1_epi8(0x0c);
    __m256i lower, upper, four_times_upper = _mm256_setzero_si256();

    explicit TernarySums(int32_t correction) : lower(_mm256_set1_epi32(correction)), upper(lower) {}

    // One step; fields: of its stored vector, shifted to its fields.
    void add(const uint8_t* activations, __m256i fields) {
        const __m256i x = broadcast(activations);
        lower = _mm256_add_epi16(lower, product(x, fields, lower_field));
        four_times_upper = _mm256_add_epi16(four_times_upper, product(x, fields, upper_field));
    }

    // Both steps of a stored vector.
    void add_vector(const uint8_t* activations, const uint8_t* packed) {
        const __m256i x0 = broadcast(activations), x1 = broadcast(activations + 4);
        const __m256i fields = load_unaligned(packed);
        const __m256i next = _mm256_srli_epi16(fields, 4);
        lower = _mm256_add_epi16(lower, _mm256_add_epi16(product(x0, fields, lower_field),
                                                         product(x1, next, lower_field)));
        four_times_upper = _mm256_add_epi16(
            four_times_upper,
            _mm256_add_epi16(product(x0, fields, upper_field), product(x1, next, upper_field)));
        settle(lower, four_times_upper);
    }

    static __m256i product(__m256i x, __m256i fields, __m256i field) {
        return _mm256_maddubs_epi16(x, _mm256_and_si256(fields, field));
    }

    void shift_down() {
        upper = _mm256_add_epi16(upper, _mm256_srli_epi16(four_times_upper, 2));
        four_times_upper = _mm256_setzero_si256();
    }
};

void row2(const RowArguments& t) {
    const uint8_t* packed = t.packed;
    const uint8_t* alpha = t.alpha;
    const uint8_t* x = t.activations;
    Totals totals(t);
    bool odd = false;  // whether the run begins with the second step of a stored vector
    for (int run = 0; run < t.runs; ++run, alpha += 2 * kPanel) {
        TernarySums sums(t.corrections[run]);
        // Runs of one stored vector (N = 4): the loops below would take longer than the products.
        if (t.run_steps[run] == 2 && !odd) {
            prefetch(packed);
            prefetch(alpha);
            sums.add_vector(x, packed);
            sums.shift_down();
            totals.add(sums.lower, sums.upper, alpha);
            packed += 32;
            x += 8;
            continue;
        }
        for (int steps = t.run_steps[run]; steps > 0;) {
            int left = steps < 16 ? steps : 16;
            steps -= left;
            if (left == 16 && !odd) {
#pragma GCC unroll 8
                for (int vector = 0; vector < 8; ++vector) {
                    if (vector % 2 == 0) prefetch(packed + 32 * vector);
                    sums.add_vector(x + 8 * vector, packed + 32 * vector);
                }
                packed += 256;
                x += 64;
            } else {
                if (odd) {
                    sums.add(x, _mm256_srli_epi16(load_unaligned(packed), 4));
                    packed += 32;
                    x += 4;
                    --left;
                }
                for (; left >= 2; left -= 2, packed += 32, x += 8) {
                    prefetch(packed);
                    sums.add_vector(x, packed);
                }
                odd = left == 1;
                if (odd) {
                    sums.add(x, load_unaligned(packed));
                    x += 4;
                }
            }
            sums.shift_down();
        }
        totals.add(sums.lower, sums.upper, alpha);
    }
    totals.store_to(t.acc);
}

}  // namespace

const RowKernel u8_w2_runs16_1x16 = {row2, Arithmetic::runs16};

}  // namespace sub8::kernels::avx2
