// 3x3 layers of stride 1 with fewer multiplications (conv/winograd.h).
#pragma once

#include <memory>

#include "conv/convolution.h"

namespace sub8::conv {

// The layer's weights are DenseWeights. Null where it is none, or direct products are faster.
std::unique_ptr<const Convolution> make_winograd_3x3(std::shared_ptr<const PreparedLayer> layer,
                                                     const ConvGeometry& geometry);

}  // namespace sub8::conv
