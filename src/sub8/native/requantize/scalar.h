// The formula in plain C++, for every loop that is not written in vectors by hand.
//
// Always inlined: files of several instruction sets include this, and the linker could keep any one
// of their copies for all.
#pragma once

#include <cstdint>

#include "kernels/unroll.h"

namespace sub8::requantize {

template <typename T>
SUB8_INLINE T clamp(T value, T low, T high) {
    value = value < low ? low : value;
    return value > high ? high : value;
}

// value / 2**shift rounded half to even: value + (2**(shift-1) - 1) + bit `shift` of value, shifted
// down. What the sum needs must fit T: |value| below half of its range, shift at most two less than
// its bits.
template <typename T>
struct ShiftRounding {
    int shift;
    T below_half;
    T bit;  // 1, or 0 where there is nothing to round

    SUB8_INLINE explicit ShiftRounding(int places)
        : shift(places), below_half(places > 0 ? (T{1} << (places - 1)) - 1 : 0), bit(places > 0) {}

    SUB8_INLINE T operator()(T value) const {
        const T odd = (value >> shift) & bit;
        return (value + below_half + odd) >> shift;
    }
};

SUB8_INLINE int64_t shift_round_half_even(int64_t value, int shift) {
    return ShiftRounding<int64_t>(shift)(value);
}

// A sum in the unit of the result / 2**shift to the result.
template <typename T>
struct SumTo8Bit {
    ShiftRounding<T> round;
    T zero_point;
    T low;
    T high;

    SUB8_INLINE SumTo8Bit(int shift, int zero, int lowest, int highest)
        : round(shift), zero_point(zero), low(lowest), high(highest) {}

    SUB8_INLINE uint8_t operator()(T sum) const {
        return uint8_t(clamp<T>(round(sum) + zero_point, low, high));
    }
};

// value / divisor rounded half to even, divisor > 0, |value| and divisor below 2**62: means.
SUB8_INLINE int64_t divide_round_half_even(int64_t value, int64_t divisor) {
    int64_t floor = value / divisor;
    int64_t rest = value % divisor;
    if (rest < 0) {
        rest += divisor;
        --floor;
    }
    const int64_t twice = 2 * rest;
    return floor + ((twice > divisor || (twice == divisor && (floor & 1) != 0)) ? 1 : 0);
}

// The same in double, a fifth of the time: exact for |value| below 2**51, divisors below 2**31 and
// quotients below 2**20, whose distance from a tie is 0 or more than what division rounds off.
SUB8_INLINE int64_t divide_round_half_even(double value, double divisor) {
    constexpr double kWhole = 6755399441055744.0;  // 1.5 * 2**52: sums with it are whole
    return int64_t((value / divisor + kWhole) - kWhole);
}
constexpr double kDoubleValue = 2251799813685248.0, kDoubleDivisor = 2147483648.0,
                 kDoubleQuotient = 1048576.0;

}  // namespace sub8::requantize
