// The plain forms that other instruction sets use for remainders and rare cases.
#pragma once

#include "kernels/kernels.h"

namespace sub8::kernels::scalar {

constexpr int kPanel = 16;

// The sums of one row of a tile, cleared where they are not added to.
inline int32_t* started(const TileArguments& t, int32_t* acc) {
    for (int o = 0; t.first && o < kPanel; ++o) acc[o] = 0;
    return acc;
}

// The columns of a requantisation from first_column on.
void requantize_from(const RequantizeArguments& arguments, int first_column);

// Part of SlotArguments' job; every slot order through its table.
void gather_some(const SlotArguments& arguments, int first_slot, int last_slot, int first_position,
                 int last_position);

}  // namespace sub8::kernels::scalar
