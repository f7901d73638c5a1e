// Which depthwise kernels may be taken column by column.
#pragma once

#include <cstddef>

#include "kernels/kernels.h"

namespace sub8::kernels {
namespace {

// Columns from position to position where the taps lie as those of a 3x3 kernel do, 1 or 2; else 0.
// That tap 9, which only fills up its pair, has no weights is for the caller to see.
int column_stride_of_3x3(const DepthwiseArguments& t) {
    if (t.pairs != 5) return 0;
    const ptrdiff_t column = t.rows[1] - t.rows[0];
    if (column != t.step && 2 * column != t.step) return 0;
    for (int tap = 0; tap < 9; tap += 3) {
        if (t.rows[tap + 1] - t.rows[tap] != column || t.rows[tap + 2] - t.rows[tap + 1] != column)
            return 0;
    }
    return column == t.step ? 1 : 2;
}

}  // namespace
}  // namespace sub8::kernels
