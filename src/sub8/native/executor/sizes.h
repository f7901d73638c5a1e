// Products of sizes that cannot silently overflow.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <vector>

namespace sub8::executor {

constexpr std::int64_t kLargestSize = std::int64_t{1} << 40;

// The product of sizes of at least 1; throws std::invalid_argument where one is not, or the product
// is absurd.
template <typename Sizes>
std::int64_t checked_product(const Sizes& sizes) {
    std::int64_t product = 1;
    for (const std::int64_t size : sizes) {
        if (size < 1 || size > kLargestSize / product) {
            throw std::invalid_argument("sizes must be at least 1 and their product below 2**40");
        }
        product *= size;
    }
    return product;
}

inline std::int64_t checked_product(std::initializer_list<std::int64_t> sizes) {
    return checked_product<std::initializer_list<std::int64_t>>(sizes);
}

inline void require(bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(message);
}

inline void require_8_bit_limits(int low, int high) {
    require(low <= high && low >= -128 && high <= 255 && high - low <= 255,
            "the result's limits must fit 8 bits");
}

}  // namespace sub8::executor
