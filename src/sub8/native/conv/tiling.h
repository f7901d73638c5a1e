// Cuts a row of positions into tiles.
#pragma once

namespace sub8 {

// Calls run(rows, count) for the tiles of `largest` rows, and for a last one of what is left.
template <typename Run>
void for_each_tile(int positions, int largest, const Run& run) {
    if (positions >= largest) run(largest, positions / largest);
    if (positions % largest > 0) run(positions % largest, 1);
}

}  // namespace sub8
