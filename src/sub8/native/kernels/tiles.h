// From a kernel for one tile to one for several side by side.
#pragma once

#include "kernels/kernels.h"

namespace sub8::kernels {

// `one`: always inlined; takes the activations and the accumulators of its tile.
template <int rows, int panel, void (*one)(const TileArguments&, const uint8_t*, int32_t*)>
void tiles(const TileArguments& t) {
    const uint8_t* activations = t.activations;
    int32_t* acc = t.acc;
    for (int tile = 0; tile < t.tiles; ++tile) {
        one(t, activations, acc);
        activations += 4 * rows;
        acc += rows * panel;
    }
}

}  // namespace sub8::kernels

// TileKernels of one<1> to one<n>; kPanel is the panel.
#define SUB8_TILE(rows, one) sub8::kernels::tiles<rows, kPanel, one<rows>>
#define SUB8_TILES_3(one)                                                       \
    {                                                                           \
        3, { nullptr, SUB8_TILE(1, one), SUB8_TILE(2, one), SUB8_TILE(3, one) } \
    }
#define SUB8_TILES_4(one)                                                                          \
    {                                                                                              \
        4, { nullptr, SUB8_TILE(1, one), SUB8_TILE(2, one), SUB8_TILE(3, one), SUB8_TILE(4, one) } \
    }
#define SUB8_TILES_6(one)                                                                        \
    {                                                                                            \
        6, {                                                                                     \
            nullptr, SUB8_TILE(1, one), SUB8_TILE(2, one), SUB8_TILE(3, one), SUB8_TILE(4, one), \
                SUB8_TILE(5, one), SUB8_TILE(6, one)                                             \
        }                                                                                        \
    }
