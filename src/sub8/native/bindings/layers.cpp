#include "executor/layer.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/variant.h>

#include "bindings/bindings.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace sub8 {
namespace {

std::shared_ptr<Step> layer(std::shared_ptr<const PackedWeights> weights,
                            const ConvGeometry& geometry, bool is_signed, int zero_point,
                            const Epilogue& epilogue, const Buffer& input,
                            const std::optional<Buffer>& residual, const Buffer& output) {
    return std::make_shared<Layer>(std::move(weights), geometry, InputFormat{is_signed, zero_point},
                                   epilogue, input, residual, output);
}

}  // namespace

void bind_layers(nb::module_& m) {
    m.def("layer", &layer, "weights"_a, "geometry"_a, "is_signed"_a, "zero_point"_a, "epilogue"_a,
          "input"_a, "residual"_a.none(), "output"_a,
          "Convolution over 8-bit [B, H, W, I]. A linear layer is a convolution over one line of "
          "rows.");
}

}  // namespace sub8
