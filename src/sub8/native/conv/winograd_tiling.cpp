#include "conv/winograd_tiling.h"

#include <algorithm>

#include "conv/scratch.h"
#include "conv/tiling.h"
#include "numeric.h"

namespace sub8::conv {
namespace {

// Transformed inputs of a chunk should leave the second-level cache room for a panel's weights.
constexpr int64_t kChunkBytes = 512 * 1024;
// One row of tiles may take more, up to this.
constexpr int64_t kLargestChunkBytes = 2 * 1024 * 1024;
// Whether an edge tile has room for the last piece.
int narrow_pieces(const kernels::WinogradForm& form, int length) {
    return form.edges != nullptr && (length - 1) % form.rows < 2 ? 1 : 0;
}

}  // namespace

WinogradTiling::WinogradTiling(const kernels::WinogradForm& form, int pairs,
                               const ConvGeometry& geometry)
    : points_down(form.points_down()),
      points_across(form.points_across()),
      pairs(pairs),
      across(int(pieces(geometry.out_w, form.columns))),
      down(int(pieces(geometry.out_h, form.rows))),
      narrow_across(narrow_pieces(form, geometry.out_w)),
      narrow_down(narrow_pieces(form, geometry.out_h)),
      units(int64_t(geometry.batch) * down) {
    tile_bytes = round_up(2 * pairs, kernels::kWinogradChannels) * int64_t(sizeof(int16_t));
    const int64_t unit_bytes = points() * tile_bytes * across;
    chunk = even_chunk(units, std::max<int64_t>(1, kChunkBytes / unit_bytes));
    point_bytes = odd_lines(chunk * across * tile_bytes);
}

bool WinogradTiling::fits_cache() const { return points() * point_bytes <= kLargestChunkBytes; }

bool WinogradTiling::narrow(int64_t unit) const {
    return narrow_down != 0 && (unit + 1) % down == 0;
}

TileChunk WinogradTiling::chunk_of(int64_t first, int count) const {
    int lower = 0;
    for (int64_t unit = first; unit < first + count; ++unit) lower += narrow(unit) ? 1 : 0;
    const int upper = count - lower;
    return {first,
            count,
            lower * narrow_across,
            upper * narrow_across,
            upper * tiles_across(),
            lower * tiles_across()};
}

TileRow WinogradTiling::row_of(const TileChunk& chunk, int64_t unit) const {
    const bool lower = narrow(unit);
    int alike = 0;  // rows of this kind before it
    for (int64_t before = chunk.first; before < unit; ++before)
        alike += narrow(before) == lower ? 1 : 0;
    const int whole = chunk.corner + chunk.right;
    if (!lower) return {false, whole + alike * tiles_across(), chunk.corner + alike};
    return {true, whole + chunk.whole + alike * tiles_across(), alike};
}

}  // namespace sub8::conv
