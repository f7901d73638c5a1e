// The exponent chosen from an image's largest magnitude (sub8.numerics.dynamic.choose_exponent).
#pragma once

#include <cstdint>
#include <cstring>

namespace sub8 {

constexpr int kLowestExponent = -32;
constexpr int kHighestExponent = 15;

inline int choose_exponent(std::int64_t floor_log2, bool is_signed) {
    const std::int64_t exponent = floor_log2 - (is_signed ? 6 : 7);
    if (exponent < kLowestExponent) return kLowestExponent;
    return static_cast<int>(exponent > kHighestExponent ? kHighestExponent : exponent);
}

// floor(log2) of a positive double.
inline int floor_log2(double value) {
    int exponent = 0;
    __builtin_frexp(value, &exponent);
    return exponent - 1;
}

// Non-negative doubles in the order of their bits, so that integers can be compared instead.
inline std::uint64_t bits_of(double value) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline double from_bits(std::uint64_t bits) {
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// The larger of *slot and value into *slot, from several threads at once.
inline void raise_to(std::uint64_t* slot, std::uint64_t value) {
    std::uint64_t seen = __atomic_load_n(slot, __ATOMIC_RELAXED);
    while (seen < value && !__atomic_compare_exchange_n(slot, &seen, value, true, __ATOMIC_RELAXED,
                                                        __ATOMIC_RELAXED)) {
    }
}

}  // namespace sub8
