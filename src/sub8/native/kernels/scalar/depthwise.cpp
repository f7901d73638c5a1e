// Depthwise convolution, in plain C++.
#include "kernels/declarations.h"

namespace sub8::kernels::scalar {
namespace {

void depthwise_any(const DepthwiseArguments& t) {
    for (int p = 0; p < t.positions; ++p) {
        for (int j = 0; j < kDepthwiseBlock; ++j) {
            int32_t sum = 0;
            for (int pair = 0; pair < t.pairs; ++pair) {
                const int8_t* w = t.weights + pair * kDepthwiseStep + 2 * j;
                for (int tap = 0; tap < 2; ++tap) {
                    const int index = 2 * pair + tap;
                    const int x = t.rows[index][p * t.step + j] ^ t.flip;
                    sum += x * (t.factors[2 * j] * w[tap] +
                                t.factors[2 * j + 1] * w[2 * kDepthwiseBlock + tap]);
                }
            }
            int32_t* acc = t.acc + p * t.acc_pitch + j;
            const int32_t shifted = int32_t(uint32_t(sum) << t.left_shift);
            *acc = t.first ? shifted : *acc + shifted;
        }
    }
}

}  // namespace

const DepthwiseKernel depthwise = {
    depthwise_any, {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31}};

}  // namespace sub8::kernels::scalar
