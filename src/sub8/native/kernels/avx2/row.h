// One row times one panel of 16 outputs, weights unpacked in registers (x86 AVX2).
//
// For products with one activation row nothing is reused, so weights go from memory to registers.
// Stored codes (t + 1, or w + 8) are unsigned and multiplied as they are; what that adds, the sum
// of the activations (times 8), is taken off once a run. Sums of int16 may wrap around in between:
// the result of a run fits again.
#pragma once

#include "kernels/avx2/tile.h"

namespace sub8::kernels::avx2 {

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

// The steps of a run, two at a time.
template <typename Step>
SUB8_INLINE void by_twos(int steps, const uint8_t* const& packed, const Step& step) {
    for (; steps >= 2; steps -= 2) {
        prefetch(packed);
        step();
        step();
    }
    if (steps == 1) step();
}

}  // namespace sub8::kernels::avx2
