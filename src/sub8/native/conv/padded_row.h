// A row of an NHWC image with its padding.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "conv/convolution.h"

namespace sub8::conv {

// The first `columns` columns of a row, counted from the padding on its left; what lies outside of
// the image is zero_point.
inline void copy_padded_row(const uint8_t* image, const ConvGeometry& geometry, int row,
                            int64_t channels, int64_t columns, int zero_point, uint8_t* to) {
    if (row < 0 || row >= geometry.in_h) {
        std::memset(to, zero_point, std::size_t(columns * channels));
        return;
    }
    const int64_t left = std::min<int64_t>(geometry.pad_left, columns);
    const int64_t inside = std::min<int64_t>(geometry.in_w, columns - left);
    uint8_t* const first = to + left * channels;
    uint8_t* const right = first + inside * channels;
    std::memset(to, zero_point, std::size_t(left * channels));
    std::memcpy(first, image + int64_t(row) * geometry.in_w * channels,
                std::size_t(inside * channels));
    std::memset(right, zero_point, std::size_t((columns - left - inside) * channels));
}

}  // namespace sub8::conv
