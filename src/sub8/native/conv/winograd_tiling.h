// How a layer's outputs are cut into tiles of one of Winograd's forms (kernels/winograd.h).
#pragma once

#include <cstdint>

#include "conv/convolution.h"
#include "kernels/winograd.h"

namespace sub8::conv {

// The tiles of a chunk by kind, in this order: corners, right edges, whole tiles, lower edges. So
// those that have a point are neighbours.
struct TileChunk {
    int64_t first;  // unit
    int units;
    int corner, right, whole, below;
    int tiles() const { return corner + right + whole + below; }
};

// Numbers of the tiles of a row of tiles within its chunk.
struct TileRow {
    bool narrow;  // a lower edge
    int tiles;    // the first one
    int edge;     // the right edge, if there is one
};

// Sizes of a layer in one form; what it costs: conv/select.h.
struct WinogradTiling {
    // pairs: of channels that are summed.
    WinogradTiling(const kernels::WinogradForm& form, int pairs, const ConvGeometry& geometry);

    // Whether a chunk's transformed inputs are near enough; very wide images' are not.
    bool fits_cache() const;

    // Whether a row of tiles is a lower edge.
    bool narrow(int64_t unit) const;
    // Units [first, first + count).
    TileChunk chunk_of(int64_t first, int count) const;
    TileRow row_of(const TileChunk& chunk, int64_t unit) const;
    // Tiles of a row but for its right edge.
    int tiles_across() const { return across - narrow_across; }

    int points() const { return points_down * points_across; }

    int points_down, points_across;  // of a tile
    int pairs;
    int across;         // tiles in a row
    int down;           // rows of tiles in an image
    int narrow_across;  // of them edge tiles: the last one, or none
    int narrow_down;
    int64_t units;        // rows of tiles in the batch
    int chunk;            // units that are worked on together
    int64_t tile_bytes;   // of transformed inputs, from tile to tile, ...
    int64_t point_bytes;  // ... and from point to point
};

}  // namespace sub8::conv
