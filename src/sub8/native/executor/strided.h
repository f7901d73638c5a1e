// Loops over several strided views of one index space.
#pragma once

#include <cstdint>
#include <vector>

#include "executor/sizes.h"

namespace sub8::executor {

using Strides = std::vector<std::int64_t>;

// One past the largest element that a view reaches; throws where it could reach below zero.
inline std::int64_t view_extent(const std::vector<std::int64_t>& sizes, std::int64_t offset,
                                const Strides& strides) {
    require(strides.size() == sizes.size(), "a view needs one stride per axis");
    require(offset >= 0 && offset <= kLargestSize, "a view starts outside of its buffer");
    std::int64_t last = offset;
    for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
        require(strides[axis] >= 0 && strides[axis] <= kLargestSize,
                "strides must not be negative");
        if (sizes[axis] > 1) {
            require(strides[axis] <= (kLargestSize - last) / (sizes[axis] - 1),
                    "a view ends outside of its buffer");
            last += (sizes[axis] - 1) * strides[axis];
        }
    }
    return last + 1;
}

// Drops axes of size 1 and merges neighbouring axes that every view walks through as one; at least
// one axis stays. The first `fixed` axes are left as they are.
inline void merge_axes(std::vector<std::int64_t>& sizes, std::vector<Strides*> views,
                       std::size_t fixed = 0) {
    for (std::size_t axis = fixed; axis < sizes.size();) {
        if (sizes[axis] == 1 && sizes.size() > fixed + 1) {
            sizes.erase(sizes.begin() + axis);
            for (Strides* view : views) view->erase(view->begin() + axis);
        } else {
            ++axis;
        }
    }
    for (std::size_t axis = fixed; axis + 1 < sizes.size();) {
        bool mergeable = true;
        for (const Strides* view : views) {
            mergeable = mergeable && (*view)[axis] == (*view)[axis + 1] * sizes[axis + 1];
        }
        if (mergeable) {
            sizes[axis + 1] *= sizes[axis];
            sizes.erase(sizes.begin() + axis);
            for (Strides* view : views) view->erase(view->begin() + axis);
        } else {
            ++axis;
        }
    }
}

// Walks the rows (all axes but the last) of several views and keeps their element offsets.
template <std::size_t Views>
class RowCursor {
  public:
    RowCursor(const std::vector<std::int64_t>& sizes, const Strides* const (&views)[Views],
              std::int64_t row)
        : sizes_(sizes) {
        for (std::size_t view = 0; view < Views; ++view) views_[view] = views[view];
        index_.resize(sizes.size());
        for (std::size_t axis = sizes.size() - 1; axis-- > 0;) {
            index_[axis] = row % sizes[axis];
            row /= sizes[axis];
            for (std::size_t view = 0; view < Views; ++view) {
                offsets_[view] += index_[axis] * (*views[view])[axis];
            }
        }
    }

    std::int64_t offset(std::size_t view) const { return offsets_[view]; }

    void advance() {
        for (std::size_t axis = sizes_.size() - 1; axis-- > 0;) {
            const bool carry = ++index_[axis] == sizes_[axis];
            for (std::size_t view = 0; view < Views; ++view) {
                const std::int64_t stride = (*views_[view])[axis];
                offsets_[view] += carry ? stride * (1 - sizes_[axis]) : stride;
            }
            if (!carry) return;
            index_[axis] = 0;
        }
    }

  private:
    const std::vector<std::int64_t>& sizes_;
    const Strides* views_[Views];
    std::vector<std::int64_t> index_;
    std::int64_t offsets_[Views] = {};
};

// The element offsets of row number `row`, counting over all axes but the last.
template <std::size_t Views>
inline void row_offsets(const std::vector<std::int64_t>& sizes,
                        const Strides* const (&views)[Views], std::int64_t row,
                        std::int64_t (&offsets)[Views]) {
    for (std::size_t view = 0; view < Views; ++view) offsets[view] = 0;
    for (std::size_t axis = sizes.size() - 1; axis-- > 0;) {
        const std::int64_t index = row % sizes[axis];
        row /= sizes[axis];
        for (std::size_t view = 0; view < Views; ++view) {
            offsets[view] += index * (*views[view])[axis];
        }
    }
}

inline std::int64_t row_count(const std::vector<std::int64_t>& sizes) {
    std::int64_t rows = 1;
    for (std::size_t axis = 0; axis + 1 < sizes.size(); ++axis) rows *= sizes[axis];
    return rows;
}

}  // namespace sub8::executor
