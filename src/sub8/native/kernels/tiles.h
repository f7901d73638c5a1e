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
        activations += rows * t.row_pitch;
        acc += rows * panel;
    }
}

}  // namespace sub8::kernels

// TileKernels of one<1> to one<n>; kPanel is the panel.
#define SUB8_TILE(rows, one) sub8::kernels::tiles<rows, kPanel, one<rows>>
#define SUB8_TO_3(one) nullptr, SUB8_TILE(1, one), SUB8_TILE(2, one), SUB8_TILE(3, one)
#define SUB8_TO_6(one) SUB8_TO_3(one), SUB8_TILE(4, one), SUB8_TILE(5, one), SUB8_TILE(6, one)
#define SUB8_TO_12(one)                                                                          \
    SUB8_TO_6(one), SUB8_TILE(7, one), SUB8_TILE(8, one), SUB8_TILE(9, one), SUB8_TILE(10, one), \
        SUB8_TILE(11, one), SUB8_TILE(12, one)
#define SUB8_TILES_3(one)            \
    {                                \
        3, false, { SUB8_TO_3(one) } \
    }
#define SUB8_TILES_4(one)                               \
    {                                                   \
        4, false, { SUB8_TO_3(one), SUB8_TILE(4, one) } \
    }
#define SUB8_TILES_6(one)            \
    {                                \
        6, false, { SUB8_TO_6(one) } \
    }
// Of rows at any distance.
#define SUB8_TILES_APART_6(one)     \
    {                               \
        6, true, { SUB8_TO_6(one) } \
    }
#define SUB8_TILES_APART_12(one)      \
    {                                 \
        12, true, { SUB8_TO_12(one) } \
    }
