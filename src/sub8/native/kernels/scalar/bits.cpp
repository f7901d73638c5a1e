// Counts of bits, in plain C++: in fields that grow before they could overflow.
#include <algorithm>
#include <cstring>

#include "kernels/declarations.h"

namespace sub8::kernels::scalar {
namespace {

constexpr uint64_t k2Bits = 0x5555555555555555, k4Bits = 0x3333333333333333;
constexpr uint64_t k8Bits = 0x0F0F0F0F0F0F0F0F, k16Bits = 0x00FF00FF00FF00FF;
constexpr int kWord = sizeof(uint64_t);
constexpr int kWordsIn8Bits = 255 / 8;

uint64_t in_8_bits(uint64_t in_2_bits) {
    const uint64_t in_4_bits = (in_2_bits & k4Bits) + (in_2_bits >> 2 & k4Bits);
    return (in_4_bits & k8Bits) + (in_4_bits >> 4 & k8Bits);
}

int64_t total(uint64_t in_8_bits) {
    const uint64_t in_16_bits = (in_8_bits & k16Bits) + (in_8_bits >> 8 & k16Bits);
    return int64_t(in_16_bits * 0x0001000100010001 >> 48);
}

void count(const uint8_t* data, int64_t bytes, int64_t* even, int64_t* odd) {
    *even = *odd = 0;
    while (bytes > 0) {
        uint64_t evens = 0, odds = 0;
        for (int i = 0; i < kWordsIn8Bits && bytes > 0; ++i, data += kWord, bytes -= kWord) {
            uint64_t word = 0;
            std::memcpy(&word, data, std::size_t(std::min<int64_t>(bytes, kWord)));
            evens += in_8_bits(word & k2Bits);
            odds += in_8_bits(word >> 1 & k2Bits);
        }
        *even += total(evens);
        *odd += total(odds);
    }
}

}  // namespace

const CountBits count_bits = count;

}  // namespace sub8::kernels::scalar
