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
// the hardware's own prefetching stops at each page. Beyond the weights' end it does nothing. Not a
// multiple of 4 KiB ahead: those lines would take the places of the ones in use.
inline void prefetch(const uint8_t* from) {
    constexpr int kAhead = 7168;
    _mm_prefetch(reinterpret_cast<const char*>(from + kAhead), _MM_HINT_T0);
}

// Keeps sums in their registers: the compiler would turn a chain of additions into a tree, whose
// leaves it then has to spill.
inline void settle(__m256i& sum0, __m256i& sum1) { asm("" : "+x"(sum0), "+x"(sum1)); }

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
        int steps = t.run_steps[run];
        for (; steps >= 2; steps -= 2) {
            prefetch(packed);
            step();
            step();
        }
        if (steps == 1) step();
        totals.add(sum0, sum1, alpha);
    }
    totals.store_to(t.acc);
}

void row8(const RowArguments& t) {
    const uint8_t* packed = t.packed;
    const uint8_t* alpha = t.alpha;
    const uint8_t* x = t.activations;
    const __m256i first_scale = _mm256_set1_epi32(0xffff);
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
        int steps = t.run_steps[run];
        for (; steps >= 2; steps -= 2) {
            prefetch(packed);
            step();
            step();
        }
        if (steps == 1) step();
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
