// Counts of bits by the instruction for that, which every CPU with AVX2 has.
#include <string.h>

#include "kernels/declarations.h"

namespace sub8::kernels::avx2 {
namespace {

constexpr uint64_t kEven = 0x5555555555555555;

void add(uint64_t word, int64_t* even, int64_t* odd) {
    *even += __builtin_popcountll(word & kEven);
    *odd += __builtin_popcountll(word & ~kEven);
}

void count(const uint8_t* data, int64_t bytes, int64_t* even, int64_t* odd) {
    int64_t evens = 0, odds = 0;
    uint64_t word;
    for (; bytes >= int64_t(sizeof word); data += sizeof word, bytes -= int64_t(sizeof word)) {
        memcpy(&word, data, sizeof word);
        add(word, &evens, &odds);
    }
    for (; bytes > 0; ++data, --bytes) add(*data, &evens, &odds);
    *even = evens;
    *odd = odds;
}

}  // namespace

const CountBits count_bits = count;

}  // namespace sub8::kernels::avx2
