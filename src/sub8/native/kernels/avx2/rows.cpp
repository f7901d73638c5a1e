// One row times one panel of 16 outputs, weights unpacked in registers (x86 AVX2).
//
// For products with one activation row nothing is reused, so weights go from memory to registers.
// Stored codes (t + 1, or w + 8) are unsigned and multiplied as they are; what that adds, the sum
// of the activations (times 8), is taken off once a run. Sums of int16 may wrap around in between:
// the result of a run fits again.
#include "kernels/avx2/kernels.h"
#include "kernels/avx2/tile.h"

namespace sub8::avx2 {
namespace {

// Weights (and scales) that come from memory arrive in time only if they are asked for well before:
// the hardware's own prefetching stops at each page. Beyond the weights' end it does nothing.
inline void prefetch(const uint8_t* from) {
    constexpr int kAhead = 8192;
    _mm_prefetch(reinterpret_cast<const char*>(from + kAhead), _MM_HINT_T0);
}

struct Totals {
    __m256i lower, upper;  // outputs 0-7, 8-15

    explicit Totals(const RowArguments& t)
        : lower(t.first ? _mm256_setzero_si256() : load(t.acc)),
          upper(t.first ? _mm256_setzero_si256() : load(t.acc + 8)) {}

    void add(__m256i sum0, __m256i sum1, const uint8_t* alpha) {
        lower = _mm256_add_epi32(lower, _mm256_madd_epi16(sum0, load_alpha(alpha)));
        upper = _mm256_add_epi32(upper, _mm256_madd_epi16(sum1, load_alpha(alpha + kPanel)));
    }

    void store_to(int32_t* acc) const {
        store(acc, lower);
        store(acc + 8, upper);
    }
};

// A stored vector holds two steps, each of a field for the lower outputs and the next one for the
// upper ones. Upper fields are multiplied where they are, four times too large: 16 steps of 4 * 2 *
// 2 * 255 fit 16 bits unsigned, and are shifted down then.
void row2(const RowArguments& t) {
    const __m256i lower_field = _mm256_set1_epi8(0x03);
    const __m256i upper_field = _mm256_set1_epi8(0x0c);
    const uint8_t* packed = t.packed;
    const uint8_t* alpha = t.alpha;
    const int32_t* offsets = t.offsets;
    Totals totals(t);
    bool odd = false;  // whether the run begins with the second step of a stored vector
    for (int run = 0; run < t.runs; ++run, alpha += 2 * kPanel) {
        // Runs of one stored vector (N = 4): the loops below would take longer than the products.
        if (t.run_steps[run] == 2 && !odd) {
            prefetch(packed);
            prefetch(alpha);
            const __m256i fields = load_unaligned(packed);
            const __m256i next = _mm256_srli_epi16(fields, 4);
            const __m256i x0 = broadcast(t.activations + offsets[0]);
            const __m256i x1 = broadcast(t.activations + offsets[1]);
            const auto both_steps = [&](__m256i field) {
                return _mm256_add_epi16(_mm256_maddubs_epi16(x0, _mm256_and_si256(fields, field)),
                                        _mm256_maddubs_epi16(x1, _mm256_and_si256(next, field)));
            };
            const __m256i activations = _mm256_set1_epi32(t.sums[run]);
            const __m256i upper = _mm256_srli_epi16(both_steps(upper_field), 2);
            totals.add(_mm256_sub_epi16(both_steps(lower_field), activations),
                       _mm256_sub_epi16(upper, activations), alpha);
            packed += 32;
            offsets += 2;
            continue;
        }
        __m256i sum0 = _mm256_setzero_si256(), sum1 = sum0;
        for (int steps = t.run_steps[run]; steps > 0;) {
            __m256i four_times = _mm256_setzero_si256();
            const auto step = [&](__m256i fields) {
                const __m256i x = broadcast(t.activations + *offsets++);
                sum0 = _mm256_add_epi16(
                    sum0, _mm256_maddubs_epi16(x, _mm256_and_si256(fields, lower_field)));
                four_times = _mm256_add_epi16(
                    four_times, _mm256_maddubs_epi16(x, _mm256_and_si256(fields, upper_field)));
            };
            int left = steps < 16 ? steps : 16;
            steps -= left;
            if (odd) {
                step(_mm256_srli_epi16(load_unaligned(packed), 4));
                packed += 32;
                --left;
            }
            for (; left >= 2; left -= 2, packed += 32) {
                prefetch(packed);
                const __m256i fields = load_unaligned(packed);
                step(fields);
                step(_mm256_srli_epi16(fields, 4));
            }
            odd = left == 1;
            if (odd) step(load_unaligned(packed));
            sum1 = _mm256_add_epi16(sum1, _mm256_srli_epi16(four_times, 2));
        }
        const __m256i activations = _mm256_set1_epi32(t.sums[run]);
        totals.add(_mm256_sub_epi16(sum0, activations), _mm256_sub_epi16(sum1, activations), alpha);
    }
    totals.store_to(t.acc);
}

void row4(const RowArguments& t) {
    const __m256i mask = _mm256_set1_epi8(0x0f);
    const uint8_t* packed = t.packed;
    const uint8_t* alpha = t.alpha;
    const int32_t* offsets = t.offsets;
    Totals totals(t);
    for (int run = 0; run < t.runs; ++run, alpha += 2 * kPanel) {
        __m256i sum0 = _mm256_setzero_si256(), sum1 = sum0;
        for (int k = 0; k < t.run_steps[run]; ++k, packed += 32) {
            prefetch(packed);
            const __m256i fields = load_unaligned(packed);
            const __m256i x = broadcast(t.activations + *offsets++);
            const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(fields, 4), mask);
            sum0 = _mm256_add_epi16(sum0, _mm256_maddubs_epi16(x, _mm256_and_si256(fields, mask)));
            sum1 = _mm256_add_epi16(sum1, _mm256_maddubs_epi16(x, upper));
        }
        const __m256i eight_times = _mm256_slli_epi16(_mm256_set1_epi32(t.sums[run]), 3);
        totals.add(_mm256_sub_epi16(sum0, eight_times), _mm256_sub_epi16(sum1, eight_times), alpha);
    }
    totals.store_to(t.acc);
}

void row8(const RowArguments& t) {
    const uint8_t* packed = t.packed;
    const uint8_t* alpha = t.alpha;
    const int32_t* offsets = t.offsets;
    const __m256i first_scale = _mm256_set1_epi32(0xffff);
    Totals totals(t);
    for (int run = 0; run < t.runs; ++run, alpha += 2 * kPanel) {
        __m256i sum0 = _mm256_setzero_si256(), sum1 = sum0;
        for (int k = 0; k < t.run_steps[run]; ++k, packed += 32) {
            prefetch(packed);
            const __m128i* codes = reinterpret_cast<const __m128i*>(packed);
            const __m256i x = broadcast(t.activations + *offsets++);
            const __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(codes));
            const __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(codes + 1));
            sum0 = _mm256_add_epi32(sum0, _mm256_madd_epi16(x, w0));
            sum1 = _mm256_add_epi32(sum1, _mm256_madd_epi16(x, w1));
        }
        const __m256i alpha0 = _mm256_and_si256(load_alpha(alpha), first_scale);
        const __m256i alpha1 = _mm256_and_si256(load_alpha(alpha + kPanel), first_scale);
        totals.lower = _mm256_add_epi32(totals.lower, _mm256_mullo_epi32(sum0, alpha0));
        totals.upper = _mm256_add_epi32(totals.upper, _mm256_mullo_epi32(sum1, alpha1));
    }
    totals.store_to(t.acc);
}

}  // namespace

void add_rows(Kernels* kernels) {
    kernels->row2 = row2;
    kernels->row4 = row4;
    kernels->row8 = row8;
}

}  // namespace sub8::avx2
