// The one rounding rule, half to even, on 64-bit integers.
#pragma once

#include <cstdint>

namespace sub8 {

// value / 2**shift, |value| < 2**62, shift in 0..62.
inline std::int64_t shift_round_half_even(std::int64_t value, int shift) {
    if (shift == 0) return value;
    const std::int64_t odd = (value >> shift) & 1;
    return (value + ((std::int64_t{1} << (shift - 1)) - 1) + odd) >> shift;
}

// value / divisor, divisor > 0, |value| and divisor below 2**62.
inline std::int64_t divide_round_half_even(std::int64_t value, std::int64_t divisor) {
    std::int64_t floor = value / divisor;
    std::int64_t rest = value % divisor;
    if (rest < 0) {
        rest += divisor;
        --floor;
    }
    const std::int64_t twice = 2 * rest;
    return floor + ((twice > divisor || (twice == divisor && (floor & 1) != 0)) ? 1 : 0);
}

inline std::int64_t clamped(std::int64_t value, std::int64_t low, std::int64_t high) {
    return value < low ? low : (value > high ? high : value);
}

}  // namespace sub8
