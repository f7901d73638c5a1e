// How positions are cut into chunks, and a chunk's rows into tiles.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sub8::conv {

// The longest of chunks as equal as possible: a short last one would expand all weights for little.
inline int even_chunk(int64_t units, int64_t largest) {
    const int64_t chunks = (units + largest - 1) / largest;
    return int((units + chunks - 1) / chunks);
}

// Cuts a length into as few pieces of at most `longest` as there must be, as equal as possible: the
// first ones may be one longer than the others.
class EvenPieces {
  public:
    EvenPieces(int length, int longest) : count_((length + longest - 1) / longest) {
        shorter_ = count_ > 0 ? length / count_ : 0;
        longer_ones_ = length - count_ * shorter_;
    }

    int count() const { return count_; }
    int length(int piece) const { return shorter_ + (piece < longer_ones_ ? 1 : 0); }
    int begin(int piece) const { return piece * shorter_ + std::min(piece, longer_ones_); }
    int longer_ones() const { return longer_ones_; }

  private:
    int count_;
    int shorter_;
    int longer_ones_;
};

// Rows of one width, cut into lines: each into even pieces, or all together.
class Lines {
  public:
    Lines(int rows, int width, int longest, bool apart)
        : rows_(apart ? rows : 1), cut_(apart ? width : rows * width, longest) {}

    int count() const { return rows_ * cut_.count(); }
    int length(int line) const { return cut_.length(piece(line)); }
    int row(int line) const { return rows_ == 1 ? 0 : line / cut_.count(); }
    // Position of a line within its row.
    int begin(int line) const { return cut_.begin(piece(line)); }

  private:
    int piece(int line) const { return rows_ == 1 ? line : line % cut_.count(); }

    int rows_;
    EvenPieces cut_;
};

// Calls run(rows, count) for tiles of up to `largest` rows: all about as large, since a small one
// is slow, waiting for its own sums.
template <typename Run>
void for_each_tile(int positions, int largest, const Run& run) {
    if (positions <= largest) {  // most lines, and divisions take long
        if (positions > 0) run(positions, 1);
        return;
    }
    const EvenPieces tiles(positions, largest);
    const int longer = tiles.longer_ones(), others = tiles.count() - longer;
    if (longer > 0) run(tiles.length(0), longer);
    if (others > 0) run(tiles.length(longer), others);
}

}  // namespace sub8::conv
