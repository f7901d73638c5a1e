// Described layers packed for the kernels of an instruction set.
#pragma once

#include <memory>

#include "conv/prepared_layer.h"
#include "description/model_generated.h"
#include "requantize/params.h"

namespace sub8::loader {

// All throw std::invalid_argument where a size, a value or what they say together is wrong.

std::shared_ptr<const conv::PackedWeights> load_weights(Isa isa,
                                                        const description::Weights& weights);

std::shared_ptr<const conv::PreparedLayer> load_layer(
    std::shared_ptr<const conv::PackedWeights> weights, const description::Layer& layer);

// The value of a union.
requantize::Params load_result(description::Result type, const void* value);

}  // namespace sub8::loader
