#include "conv/prepared_layer.h"

#include <stdexcept>
#include <utility>

namespace sub8::conv {
namespace {

std::shared_ptr<const PackedWeights> present(std::shared_ptr<const PackedWeights> weights) {
    if (weights == nullptr) throw std::invalid_argument("a layer needs weights");
    return weights;
}

InputFormat checked(const InputFormat& input) {
    const int low = input.is_signed ? -128 : 0;
    if (input.zero_point < low || input.zero_point > low + 255)
        throw std::invalid_argument("convolution: the zero point is no value of the input");
    return input;
}

}  // namespace

PreparedLayer::PreparedLayer(std::shared_ptr<const PackedWeights> weights, const InputFormat& input,
                             const requantize::Params& result)
    : weights_(present(std::move(weights))),
      input_(checked(input)),
      stored_(input, weights_->takes_signed()),
      requantize_(weights_->kernels(), {weights_->sums(), weights_->bounds(), stored_.zero},
                  result),
      result_(weights_->kept_terms().empty() ? requantize::Params() : result),
      has_8_bit_result_(requantize::is_8_bit(result)),
      has_residual_(requantize::has_residual(result)) {}

}  // namespace sub8::conv
