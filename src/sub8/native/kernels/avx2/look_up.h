// Functions of bytes by shuffles, where the compiler makes of a table one load a byte.

#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/functions.h"
#include "kernels/unroll.h"

namespace sub8::kernels::avx2 {
namespace {

// The steps of half `which` of a ByteFunction, added to the sums of Count vectors. A shuffle gives
// 0 where the highest bit of an index is set: where less than the step's first was left of x. The
// subtraction saturates, so that a byte of the other half stays so.
template <int Count>
SUB8_INLINE void add_steps(const ByteFunction::Half& half, const __m256i* x, __m256i* sums) {
    for (int step = 0; step < half.steps; ++step) {
        const __m256i first = _mm256_set1_epi8(char(half.first[step]));
        const __m256i addends = _mm256_broadcastsi128_si256(
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(half.addends[step])));
        for (int i = 0; i < Count; ++i) {
            const __m256i found = _mm256_shuffle_epi8(addends, _mm256_subs_epi8(x[i], first));
            sums[i] = _mm256_add_epi8(sums[i], found);
        }
    }
}

// All bits where a half's function starts from `times` x or more.
SUB8_INLINE __m256i wanted(const ByteFunction& function, int times, __m256i x) {
    const __m256i lower = _mm256_set1_epi8(function.halves[0].times >= times ? -1 : 0);
    const __m256i upper = _mm256_set1_epi8(function.halves[1].times >= times ? -1 : 0);
    return _mm256_blendv_epi8(lower, upper, x);
}

template <int Count>
SUB8_INLINE void look_up_vectors(const ByteFunction& function, __m256i* x) {
    const __m256i highest = _mm256_set1_epi8(char(0x80));
    __m256i sums[Count];
    for (int i = 0; i < Count; ++i) sums[i] = _mm256_and_si256(x[i], wanted(function, 1, x[i]));
    for (int times = 2; times <= 4; times *= 2) {
        if (function.halves[0].times < times && function.halves[1].times < times) break;
        for (int i = 0; i < Count; ++i) {
            const __m256i again = _mm256_and_si256(sums[i], wanted(function, times, x[i]));
            sums[i] = _mm256_add_epi8(sums[i], again);
        }
    }
    add_steps<Count>(function.halves[0], x, sums);
    for (int i = 0; i < Count; ++i) x[i] = _mm256_xor_si256(x[i], highest);
    add_steps<Count>(function.halves[1], x, sums);
    for (int i = 0; i < Count; ++i) x[i] = sums[i];
}

// As many whole vectors as there are; what is left of `count`.
template <int Count>
SUB8_INLINE std::int64_t look_up_whole(const ByteFunction& function, std::int64_t count,
                                       const std::uint8_t*& x, std::uint8_t*& out) {
    constexpr std::int64_t kBytes = Count * std::int64_t(sizeof(__m256i));
    for (; count >= kBytes; count -= kBytes, x += kBytes, out += kBytes) {
        __m256i values[Count];
        for (int i = 0; i < Count; ++i)
            values[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x) + i);
        look_up_vectors<Count>(function, values);
        for (int i = 0; i < Count; ++i)
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(out) + i, values[i]);
    }
    return count;
}

inline void look_up_row(const std::uint8_t* x, std::int64_t count, const ByteFunction& function,
                        std::uint8_t* out) {
    count = look_up_whole<4>(function, count, x, out);
    count = look_up_whole<1>(function, count, x, out);
    for (std::int64_t i = 0; i < count; ++i) out[i] = function.entries[x[i]];
}

// Sixteen columns of Count pairs of rows.
template <int Count>
SUB8_INLINE void look_up_columns(const std::uint8_t* x, std::int64_t pitch,
                                 const ByteFunction& function, std::uint8_t* out) {
    const auto at = [&](auto* from, int row) SUB8_INLINE_LAMBDA { return from + row * pitch; };
    __m256i values[Count];
    for (int i = 0; i < Count; ++i) {
        values[i] = _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(at(x, 2 * i + 1)),
                                        reinterpret_cast<const __m128i*>(at(x, 2 * i)));
    }
    look_up_vectors<Count>(function, values);
    for (int i = 0; i < Count; ++i) {
        _mm256_storeu2_m128i(reinterpret_cast<__m128i*>(at(out, 2 * i + 1)),
                             reinterpret_cast<__m128i*>(at(out, 2 * i)), values[i]);
    }
}

inline void look_up(const std::uint8_t* x, std::int64_t rows, std::int64_t columns,
                    std::int64_t pitch, const ByteFunction& function, std::uint8_t* out) {
    constexpr int kColumns = 16, kPairs = 4;
    if (rows == 1 || columns == pitch) return look_up_row(x, rows * columns, function, out);
    std::int64_t column = 0;
    for (; column + kColumns <= columns; column += kColumns) {
        const std::uint8_t* from = x + column;
        std::uint8_t* to = out + column;
        std::int64_t left = rows;
        for (; left >= 2 * kPairs; left -= 2 * kPairs) {
            look_up_columns<kPairs>(from, pitch, function, to);
            from += 2 * kPairs * pitch, to += 2 * kPairs * pitch;
        }
        for (; left >= 2; left -= 2) {
            look_up_columns<1>(from, pitch, function, to);
            from += 2 * pitch, to += 2 * pitch;
        }
        if (left != 0) {
            __m256i value =
                _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
            look_up_vectors<1>(function, &value);
            _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(value));
        }
    }
    if (column == columns) return;
    for (std::int64_t row = 0; row < rows; ++row, x += pitch, out += pitch) {
        for (std::int64_t i = column; i < columns; ++i) out[i] = function.entries[x[i]];
    }
}

}  // namespace
}  // namespace sub8::kernels::avx2
