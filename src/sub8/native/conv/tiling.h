// How positions are cut into chunks, and a chunk's rows into tiles.
#pragma once

#include <cstdint>

namespace sub8::conv {

// The longest of chunks as equal as possible: a short last one would expand all weights for little.
inline int even_chunk(int64_t units, int64_t largest) {
    const int64_t chunks = (units + largest - 1) / largest;
    return int((units + chunks - 1) / chunks);
}

// Calls run(rows, count) for the tiles of `largest` rows, and for a last one of what is left.
template <typename Run>
void for_each_tile(int positions, int largest, const Run& run) {
    if (positions >= largest) run(largest, positions / largest);
    if (positions % largest > 0) run(positions % largest, 1);
}

}  // namespace sub8::conv
