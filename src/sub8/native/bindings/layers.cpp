#include "executor/layer.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include "bindings/bindings.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace sub8 {
namespace {

using Pair = std::pair<int, int>;

std::shared_ptr<Step> layer(std::shared_ptr<PackedWeights> weights, int batch, Pair in_size,
                            Pair out_size, Pair strides, Pair pads, Pair dilations, bool is_signed,
                            int zero_point, const Epilogue& epilogue, const Buffer& input,
                            const std::optional<Buffer>& residual, const Buffer& output) {
    ConvGeometry geometry;
    geometry.batch = batch;
    std::tie(geometry.in_h, geometry.in_w) = in_size;
    std::tie(geometry.out_h, geometry.out_w) = out_size;
    std::tie(geometry.stride_h, geometry.stride_w) = strides;
    std::tie(geometry.pad_top, geometry.pad_left) = pads;
    std::tie(geometry.dilation_h, geometry.dilation_w) = dilations;
    return std::make_shared<Layer>(std::move(weights), geometry, InputFormat{is_signed, zero_point},
                                   epilogue, input, residual, output);
}

Rescale rescale(std::vector<int64_t> multiplier, std::vector<int64_t> offset, int shift,
                int zero_point, int low, int high, int64_t residual_multiplier, bool has_residual,
                bool residual_signed) {
    Rescale result;
    result.multiplier = std::move(multiplier);
    result.offset = std::move(offset);
    result.residual_multiplier = residual_multiplier;
    result.shift = shift;
    result.zero_point = zero_point;
    result.low = low;
    result.high = high;
    result.has_residual = has_residual;
    result.residual_signed = residual_signed;
    return result;
}

}  // namespace

void bind_layers(nb::module_& m) {
    nb::class_<Rescale>(m, "Rescale", "8-bit result of a layer: the integers of engine.rescale.")
        .def(
            "__init__",
            [](Rescale* self, std::vector<int64_t> multiplier, std::vector<int64_t> offset,
               int shift, int zero_point, int low, int high, int64_t residual_multiplier,
               bool has_residual, bool residual_signed) {
                new (self)
                    Rescale(rescale(std::move(multiplier), std::move(offset), shift, zero_point,
                                    low, high, residual_multiplier, has_residual, residual_signed));
            },
            "multiplier"_a, "offset"_a, "shift"_a, "zero_point"_a, "low"_a, "high"_a,
            "residual_multiplier"_a = 0, "has_residual"_a = false, "residual_signed"_a = false);
    nb::class_<FloatRescale>(m, "FloatRescale", "float32 result of a layer.")
        .def(
            "__init__",
            [](FloatRescale* self, int64_t multiplier, std::vector<int64_t> offset,
               std::vector<float> scale) {
                new (self) FloatRescale{multiplier, std::move(offset), std::move(scale)};
            },
            "multiplier"_a, "offset"_a, "scale"_a);
    nb::class_<RawAccumulators>(m, "RawAccumulators", "int32 result of a layer, without bias.")
        .def(nb::init<>());
    m.def("layer", &layer, "weights"_a, "batch"_a, "in_size"_a, "out_size"_a, "strides"_a, "pads"_a,
          "dilations"_a, "is_signed"_a, "zero_point"_a, "epilogue"_a, "input"_a,
          "residual"_a.none(), "output"_a,
          "Convolution over 8-bit [batch, H, W, I]; pads: top and left. A linear layer is a "
          "convolution over one line of rows.");
}

}  // namespace sub8
