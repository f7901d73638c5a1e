// Counts of bits by the instruction for that, byte by byte of a vector (ARM NEON).
#include <arm_neon.h>

#include "kernels/declarations.h"

namespace sub8::kernels::neon {
namespace {

constexpr int64_t kVector = 16;
constexpr int kVectorsIn8Bits = 255 / 4;  // a byte has four bits of each kind

void count(const uint8_t* data, int64_t bytes, int64_t* even, int64_t* odd) {
    const uint8x16_t even_places = vdupq_n_u8(0x55);
    int64_t evens = 0, odds = 0;
    while (bytes >= kVector) {
        uint8x16_t even_sums = vdupq_n_u8(0), odd_sums = vdupq_n_u8(0);
        for (int i = 0; i < kVectorsIn8Bits && bytes >= kVector; ++i) {
            const uint8x16_t x = vld1q_u8(data);
            even_sums = vaddq_u8(even_sums, vcntq_u8(vandq_u8(x, even_places)));
            odd_sums = vaddq_u8(odd_sums, vcntq_u8(vbicq_u8(x, even_places)));
            data += kVector, bytes -= kVector;
        }
        evens += vaddlvq_u8(even_sums);
        odds += vaddlvq_u8(odd_sums);
    }
    int64_t last_even = 0, last_odd = 0;
    scalar::count_bits(data, bytes, &last_even, &last_odd);
    *even = evens + last_even;
    *odd = odds + last_odd;
}

}  // namespace

const CountBits count_bits = count;

}  // namespace sub8::kernels::neon
