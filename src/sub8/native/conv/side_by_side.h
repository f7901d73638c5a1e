// Layers of few outputs: neighbouring positions of a row side by side, as outputs of one.
//
// A panel has a lane for each of 16 or 32 outputs, and a layer of eight leaves the others idle. A
// layer of `count` times as many outputs, whose kernel is (count - 1) * stride columns wider and 0
// wherever a position's own kernel does not lie, makes `count` positions at once, in the order in
// which they lie in memory:
//
//     stride 1, kernel a b c, count 2:   output 0: a b c 0
//                                        output 1: 0 a b c
#pragma once

#include <memory>
#include <utility>

#include "conv/convolution.h"

namespace sub8::conv {

// Columns of the wider kernel.
inline int columns_side_by_side(const WeightShape& shape, int count, int stride) {
    return shape.kernel_w + (count - 1) * stride;
}

// The layer with as many positions side by side as take the least time, and its sizes; or, where
// nothing is gained, the layer and the sizes given.
std::pair<std::shared_ptr<const PreparedLayer>, ConvGeometry> side_by_side(
    std::shared_ptr<const PreparedLayer> layer, const ConvGeometry& geometry);

}  // namespace sub8::conv
