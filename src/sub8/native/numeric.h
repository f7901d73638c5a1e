// Arithmetic on sizes that every room needs.
#pragma once

#include <cstdint>

namespace sub8 {

// Bytes; also what operands of kernels, arenas and scratch are aligned to.
constexpr std::int64_t kCacheLine = 64;

// How many pieces of at most `size` make up `count`; both positive.
constexpr std::int64_t pieces(std::int64_t count, std::int64_t size) {
    return (count + size - 1) / size;
}

constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
    return pieces(value, multiple) * multiple;
}

// Whether |value| <= limit; unlike abs also for the lowest number that a type has.
constexpr bool within(std::int64_t value, std::int64_t limit) {
    return value >= -limit && value <= limit;
}

}  // namespace sub8
