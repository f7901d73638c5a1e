#include <nanobind/stl/vector.h>

#include <utility>
#include <vector>

#include "bindings/bindings.h"
#include "requantize/params.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace sub8::bindings {

using requantize::RawAccumulators;
using requantize::To8Bit;
using requantize::ToFloat;

void bind_requantize(nb::module_& m) {
    nb::class_<To8Bit>(m, "RequantizeTo8Bit", "8-bit result, see sub8.engine.plan.requantize.")
        .def(
            "__init__",
            [](To8Bit* self, std::vector<int64_t> multiplier, std::vector<int64_t> offset,
               int64_t residual_multiplier, int shift, int zero_point, int low, int high,
               bool has_residual, bool residual_signed) {
                new (self) To8Bit{std::move(multiplier),
                                  std::move(offset),
                                  residual_multiplier,
                                  shift,
                                  zero_point,
                                  low,
                                  high,
                                  has_residual,
                                  residual_signed};
            },
            nb::kw_only(), "multiplier"_a, "offset"_a, "residual_multiplier"_a = 0, "shift"_a = 0,
            "zero_point"_a = 0, "low"_a = 0, "high"_a = 255, "has_residual"_a = false,
            "residual_signed"_a = false);
    nb::class_<ToFloat>(m, "RequantizeToFloat", "float32 result, see sub8.engine.plan.requantize.")
        .def(
            "__init__",
            [](ToFloat* self, int64_t multiplier, std::vector<int64_t> offset,
               std::vector<float> scale) {
                new (self) ToFloat{multiplier, std::move(offset), std::move(scale)};
            },
            nb::kw_only(), "multiplier"_a, "offset"_a, "scale"_a);
    nb::class_<RawAccumulators>(m, "RawAccumulators", "int32 result without bias.")
        .def(nb::init<>());
}

}  // namespace sub8::bindings
