// Functions of bytes, 64 of them at a time, where the compiler makes of a table one load a byte.

#pragma once

#include <immintrin.h>

#include <cstdint>

namespace sub8::kernels::avx2 {
namespace {

// A shuffle looks 16 entries up, by the low half of a byte whose highest bit is clear, and gives 0
// where it is set. Rows of 16 entries are stored as what distinguishes them from the row before,
// and added up (xor) as long as 16 can be taken from the byte: from those below 128 and, with that
// bit flipped, from the others. The subtraction saturates, so that a byte once negative stays so.
inline void look_up(const std::uint8_t* __restrict x, std::int64_t count,
                    const std::uint8_t* __restrict table, std::uint8_t* __restrict out) {
    constexpr int kRows = 16, kHalf = 8;
    constexpr std::int64_t kBlock = 64;
    std::int64_t i = 0;
    if (count >= 4 * kBlock) {
        __m256i steps[kRows];
        __m128i before = _mm_setzero_si128();
        for (int row = 0; row < kRows; ++row) {
            const __m128i here =
                _mm_loadu_si128(reinterpret_cast<const __m128i*>(table + 16 * row));
            const bool first = row % kHalf == 0;
            steps[row] = _mm256_broadcastsi128_si256(first ? here : _mm_xor_si128(here, before));
            before = here;
        }
        const __m256i sixteen = _mm256_set1_epi8(16), highest = _mm256_set1_epi8(char(0x80));
        for (; i + kBlock <= count; i += kBlock) {
            const __m256i* from = reinterpret_cast<const __m256i*>(x + i);
            __m256i a = _mm256_loadu_si256(from), b = _mm256_loadu_si256(from + 1);
            __m256i c = _mm256_xor_si256(a, highest), d = _mm256_xor_si256(b, highest);
            __m256i first = _mm256_setzero_si256(), second = first;
            for (int row = 0; row < kHalf; ++row) {
                const __m256i low = steps[row], high = steps[kHalf + row];
                first = _mm256_xor_si256(first, _mm256_shuffle_epi8(low, a));
                second = _mm256_xor_si256(second, _mm256_shuffle_epi8(low, b));
                first = _mm256_xor_si256(first, _mm256_shuffle_epi8(high, c));
                second = _mm256_xor_si256(second, _mm256_shuffle_epi8(high, d));
                a = _mm256_subs_epi8(a, sixteen), b = _mm256_subs_epi8(b, sixteen);
                c = _mm256_subs_epi8(c, sixteen), d = _mm256_subs_epi8(d, sixteen);
            }
            __m256i* to = reinterpret_cast<__m256i*>(out + i);
            _mm256_storeu_si256(to, first);
            _mm256_storeu_si256(to + 1, second);
        }
    }
    for (; i < count; ++i) out[i] = table[x[i]];
}

}  // namespace
}  // namespace sub8::kernels::avx2
