// int16 * int16 pairs into int32, in plain C++.
#include "kernels/declarations.h"
#include "kernels/scalar/parts.h"
#include "kernels/tiles.h"

namespace sub8::kernels::scalar {
namespace {

template <int rows>
void wide16(const TileArguments& t, const uint8_t* activations, int32_t* total) {
    const int16_t* weights = static_cast<const int16_t*>(t.weights);
    for (int r = 0; r < rows; ++r) {
        int32_t* acc = started(t, total + r * kPanel);
        for (int step = 0; step < t.steps; ++step) {
            const int16_t* a =
                reinterpret_cast<const int16_t*>(activations + step * t.pitch + 4 * r);
            const int16_t* w = weights + step * kPanel * 2;
            for (int o = 0; o < kPanel; ++o) acc[o] += a[0] * w[2 * o] + a[1] * w[2 * o + 1];
        }
    }
}

}  // namespace

const TileKernels s16_s16_wide16_4x16 = SUB8_TILES_4(wide16);

}  // namespace sub8::kernels::scalar
