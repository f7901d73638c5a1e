// Depthwise convolutions by whole lines.
#pragma once

#include <memory>

#include "conv/convolution.h"

namespace sub8::conv {

// The layer's weights are DepthwiseWeights. Null where no kernel takes them at this geometry.
std::unique_ptr<const Convolution> make_depthwise_lines(std::shared_ptr<const PreparedLayer> layer,
                                                        const ConvGeometry& geometry);

}  // namespace sub8::conv
