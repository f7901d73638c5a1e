// From a kernel for one tile to one for several side by side.
#pragma once

#include "kernels/kernels.h"

namespace sub8 {

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

}  // namespace sub8
