// Convolutions and linear layers by direct products.
#pragma once

#include <memory>

#include "conv/convolution.h"

namespace sub8::conv {

// The layer's weights are DenseWeights.
std::unique_ptr<const Convolution> make_dense(std::shared_ptr<const PreparedLayer> layer,
                                              const ConvGeometry& geometry);

}  // namespace sub8::conv
