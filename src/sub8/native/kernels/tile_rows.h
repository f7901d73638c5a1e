// Where the rows of a tile read, for kernels that broadcast a row's four bytes from memory.
#pragma once

#include "kernels/kernels.h"
#include "kernels/unroll.h"

namespace sub8::kernels {

// Addresses of every third row, which the processor's own addition of one or two pitches makes
// those of all: twelve rows in five registers.
template <int rows>
class TileRows {
  public:
    SUB8_INLINE TileRows(const TileArguments& t, const uint8_t* first) : pitch_(t.row_pitch) {
        for (int i = 0; i < kAddresses; ++i) {
            at_[i] = first + 3 * i * pitch_;
            // One register each: gcc would give every row its own.
            asm("" : "+r"(at_[i]));
        }
    }
    template <int r>
    SUB8_INLINE const uint8_t* row() const {
        return at_[r / 3] + r % 3 * pitch_;
    }
    // On to the next step.
    SUB8_INLINE void advance(ptrdiff_t pitch) {
        for (int i = 0; i < kAddresses; ++i) at_[i] += pitch;
    }

  private:
    static constexpr int kAddresses = (rows + 2) / 3;
    const uint8_t* at_[kAddresses];
    const ptrdiff_t pitch_;
};

}  // namespace sub8::kernels
