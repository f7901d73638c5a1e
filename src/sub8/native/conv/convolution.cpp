#include "conv/convolution.h"

#include <stdexcept>
#include <string>
#include <utility>

#include "conv/select.h"
#include "conv/side_by_side.h"

namespace sub8::conv {
namespace {

[[noreturn]] void fail(const std::string& what) {
    throw std::invalid_argument("convolution: " + what);
}

void check(const ConvGeometry& geometry) {
    if (geometry.batch < 1 || geometry.in_h < 1 || geometry.in_w < 1 || geometry.out_h < 1 ||
        geometry.out_w < 1) {
        fail("every size must be at least 1");
    }
    if (geometry.stride_h < 1 || geometry.stride_w < 1 || geometry.dilation_h < 1 ||
        geometry.dilation_w < 1) {
        fail("strides and dilations must be at least 1");
    }
    if (geometry.pad_top < 0 || geometry.pad_left < 0) fail("padding must not be negative");
}

}  // namespace

std::unique_ptr<const Convolution> Convolution::create(std::shared_ptr<const PreparedLayer> layer,
                                                       const ConvGeometry& geometry) {
    if (layer == nullptr) fail("no layer");
    check(geometry);
    auto [best, sizes] = side_by_side(std::move(layer), geometry);
    return select_algorithm(std::move(best), sizes);
}

}  // namespace sub8::conv
