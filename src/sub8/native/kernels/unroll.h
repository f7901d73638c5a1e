// Unrolling at the source, so that accumulators in arrays are registers from the start.
#pragma once

#define SUB8_INLINE inline __attribute__((always_inline))
#define SUB8_INLINE_LAMBDA __attribute__((always_inline))

// Unrolls a statement that uses r over the first `rows` rows; the compiler drops the others.
#define SUB8_ROW(r_, ...)      \
    if constexpr (rows > r_) { \
        constexpr int r = r_;  \
        __VA_ARGS__            \
    }
#define SUB8_ROWS(...)        \
    SUB8_ROW(0, __VA_ARGS__)  \
    SUB8_ROW(1, __VA_ARGS__)  \
    SUB8_ROW(2, __VA_ARGS__)  \
    SUB8_ROW(3, __VA_ARGS__)  \
    SUB8_ROW(4, __VA_ARGS__)  \
    SUB8_ROW(5, __VA_ARGS__)  \
    SUB8_ROW(6, __VA_ARGS__)  \
    SUB8_ROW(7, __VA_ARGS__)  \
    SUB8_ROW(8, __VA_ARGS__)  \
    SUB8_ROW(9, __VA_ARGS__)  \
    SUB8_ROW(10, __VA_ARGS__) \
    SUB8_ROW(11, __VA_ARGS__)
