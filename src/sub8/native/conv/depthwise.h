// Depthwise convolutions.
#pragma once

#include <memory>

#include "conv/convolution.h"

namespace sub8::conv {

// The layer's weights are DepthwiseWeights.
std::unique_ptr<const Convolution> make_depthwise(std::shared_ptr<const PreparedLayer> layer,
                                                  const ConvGeometry& geometry);

}  // namespace sub8::conv
