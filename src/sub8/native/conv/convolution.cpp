#include "conv/convolution.h"

#include <stdexcept>
#include <string>

#include "conv/layers.h"

namespace sub8 {
namespace {

[[noreturn]] void fail(const std::string& what) {
    throw std::invalid_argument("convolution: " + what);
}

void check(const ConvGeometry& geometry, const InputFormat& input) {
    if (geometry.batch < 1 || geometry.in_h < 1 || geometry.in_w < 1 || geometry.out_h < 1 ||
        geometry.out_w < 1) {
        fail("every size must be at least 1");
    }
    if (geometry.stride_h < 1 || geometry.stride_w < 1 || geometry.dilation_h < 1 ||
        geometry.dilation_w < 1) {
        fail("strides and dilations must be at least 1");
    }
    if (geometry.pad_top < 0 || geometry.pad_left < 0) fail("padding must not be negative");
    const int low = input.is_signed ? -128 : 0;
    if (input.zero_point < low || input.zero_point > low + 255)
        fail("the zero point is no value of the input");
}

}  // namespace

std::unique_ptr<const Convolution> Convolution::create(std::shared_ptr<const PackedWeights> weights,
                                                       const ConvGeometry& geometry,
                                                       const InputFormat& input,
                                                       Epilogue epilogue) {
    if (weights == nullptr) fail("no weights");
    check(geometry, input);
    if (auto depthwise = std::dynamic_pointer_cast<const DepthwiseWeights>(weights)) {
        return make_depthwise(std::move(depthwise), geometry, input, epilogue);
    }
    auto dense = std::dynamic_pointer_cast<const DenseWeights>(weights);
    if (auto winograd = make_winograd_3x3(dense, geometry, input, epilogue)) return winograd;
    if (auto winograd = make_winograd_stem(dense, geometry, input, epilogue)) return winograd;
    return make_dense(std::move(dense), geometry, input, epilogue);
}

}  // namespace sub8
