// u8 * s8 in runs, int16 sums, in plain C++.
#include "kernels/declarations.h"
#include "kernels/scalar/parts.h"
#include "kernels/tiles.h"

namespace sub8::kernels::scalar {
namespace {

inline int16_t pair_lane(const uint8_t* a, const int8_t* w) {
    return int16_t(a[0] * w[0] + a[1] * w[1]);
}

template <int rows>
void runs16(const TileArguments& t, const uint8_t* activations, int32_t* total) {
    const int8_t* weights = static_cast<const int8_t*>(t.weights);
    for (int r = 0; r < rows; ++r) {
        int32_t* acc = started(t, total + r * kPanel);
        int step = 0;
        for (int run = 0; run < t.runs; ++run) {
            int16_t sums[kPanel][2] = {};
            for (const int end = step + t.run_steps[run]; step < end; ++step) {
                const uint8_t* a = activations + step * t.pitch + 4 * r;
                const int8_t* w = weights + step * kPanel * 4;
                for (int o = 0; o < kPanel; ++o) {
                    sums[o][0] = int16_t(sums[o][0] + pair_lane(a, w + 4 * o));
                    sums[o][1] = int16_t(sums[o][1] + pair_lane(a + 2, w + 4 * o + 2));
                }
            }
            const uint8_t* alpha = t.alpha + run * kPanel * 2;
            for (int o = 0; o < kPanel; ++o) {
                acc[o] += alpha[2 * o] * sums[o][0] + alpha[2 * o + 1] * sums[o][1];
            }
        }
    }
}

}  // namespace

const TileKernels u8_s8_runs16_4x16 = SUB8_TILES_4(runs16);

}  // namespace sub8::kernels::scalar
