#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>

#include "bindings/bindings.h"
#include "bindings/shapes.h"
#include "executor/dynamic_pool.h"
#include "executor/dynamic_quantize.h"
#include "executor/dynamic_sum.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace sub8::bindings {
namespace {

using StepPointer = std::shared_ptr<executor::Step>;
using Bound = std::optional<std::pair<std::int64_t, int>>;

executor::ElementType element_type(const std::string& name) {
    if (name == "uint8") return executor::ElementType::u8;
    if (name == "int8") return executor::ElementType::s8;
    if (name == "int32") return executor::ElementType::s32;
    throw std::invalid_argument("elements of type '" + name + "' are not summed");
}

std::optional<executor::RealBound> real_bound(const Bound& bound) {
    if (!bound) return std::nullopt;
    return executor::RealBound{bound->first, bound->second};
}

}  // namespace

void bind_dynamic(nb::module_& m) {
    nb::class_<executor::Exponent>(m, "Exponent",
                                   "A tensor's exponent: fixed, plus int32 per image if given.")
        .def(
            "__init__",
            [](executor::Exponent* self, int added,
               const std::optional<executor::Buffer>& per_image,
               std::int64_t images) { new (self) executor::Exponent{added, per_image, images}; },
            "added"_a, "per_image"_a.none() = nb::none(), "images"_a = 1);
    nb::class_<executor::DynamicOperand>(m, "DynamicOperand", "One term of a DynamicSum.")
        .def(
            "__init__",
            [](executor::DynamicOperand* self, const executor::Buffer& values,
               const std::string& type, std::vector<std::int64_t> strides,
               const executor::Exponent& exponent, std::int64_t largest) {
                new (self) executor::DynamicOperand{values, element_type(type), std::move(strides),
                                                    exponent, largest};
            },
            "values"_a, "type"_a, "strides"_a, "exponent"_a, "largest"_a = std::int64_t{1} << 31,
            "largest: no value is larger in magnitude.");
    nb::class_<executor::DynamicSum>(m, "DynamicSum", "Sum of operands at different powers of two.")
        .def(
            "__init__",
            [](executor::DynamicSum* self, std::vector<std::int64_t> sizes,
               std::vector<executor::DynamicOperand> operands, const Bound& minimum,
               const Bound& maximum) {
                new (self) executor::DynamicSum(std::move(sizes), std::move(operands),
                                                real_bound(minimum), real_bound(maximum));
            },
            "sizes"_a, "operands"_a, "minimum"_a.none(), "maximum"_a.none());
    nb::class_<executor::ResultExponent>(m, "ResultExponent", "Fixed, or chosen per image.")
        .def_static(
            "fixed", [](int exponent) { return executor::ResultExponent{exponent, false, {}, {}}; },
            "exponent"_a)
        .def_static(
            "chosen",
            [](bool is_signed, const executor::Buffer& largest, const executor::Buffer& chosen) {
                return executor::ResultExponent{0, is_signed, largest, chosen};
            },
            "is_signed"_a, "largest"_a, "chosen"_a,
            "largest: uint64 per image, found before; chosen: int32 per image, written.");
    nb::class_<executor::WindowSums>(m, "WindowSums", "Sums over pooling windows.")
        .def(nb::init<const executor::PoolShape&, bool, int, bool>(), "shape"_a, "is_signed"_a,
             "zero_point"_a, "count_include_pad"_a);

    m.def(
        "dynamic_largest",
        [](const executor::DynamicSum& sum, const executor::Buffer& largest) -> StepPointer {
            return std::make_shared<executor::DynamicLargest>(sum, largest);
        },
        "sum"_a, "largest"_a,
        "Raise each image's slot of `largest` to its sums' largest magnitude.");
    m.def(
        "dynamic_round",
        [](const executor::DynamicSum& sum, const executor::Buffer& out,
           const executor::ResultExponent& exponent, int low, int high) -> StepPointer {
            return std::make_shared<executor::DynamicRound>(sum, out, exponent, low, high);
        },
        "sum"_a, "out"_a, "exponent"_a, "low"_a, "high"_a);
    m.def(
        "dynamic_float",
        [](const executor::DynamicSum& sum, const executor::Buffer& out) -> StepPointer {
            return std::make_shared<executor::DynamicFloat>(sum, out);
        },
        "sum"_a, "out"_a);
    m.def(
        "dynamic_mean_largest",
        [](const executor::Buffer& x, const executor::WindowSums& sums,
           const executor::Buffer& largest) -> StepPointer {
            return std::make_shared<executor::DynamicMeanLargest>(x, sums, largest);
        },
        "x"_a, "sums"_a, "largest"_a);
    m.def(
        "dynamic_mean_round",
        [](const executor::Buffer& x, const executor::Exponent& x_exponent,
           const executor::WindowSums& sums, const executor::Buffer& out,
           const executor::ResultExponent& exponent, int low, int high) -> StepPointer {
            return std::make_shared<executor::DynamicMeanRound>(x, x_exponent, sums, out, exponent,
                                                                low, high);
        },
        "x"_a, "x_exponent"_a, "sums"_a, "out"_a, "exponent"_a, "low"_a, "high"_a);
    m.def(
        "quantize_largest",
        [](const executor::Buffer& x, const PlanarSizes& shape,
           const executor::Buffer& largest) -> StepPointer {
            return std::make_shared<executor::QuantizeLargest>(x, planar_shape(shape), largest);
        },
        "x"_a, "shape"_a, "largest"_a);
    m.def(
        "quantize_dynamic",
        [](const executor::Buffer& x, const executor::Buffer& out, const PlanarSizes& shape,
           const executor::ResultExponent& exponent) -> StepPointer {
            return std::make_shared<executor::QuantizeDynamic>(x, out, planar_shape(shape),
                                                               exponent);
        },
        "x"_a, "out"_a, "shape"_a, "exponent"_a);
    m.def(
        "dequantize_dynamic",
        [](const executor::Buffer& x, const executor::Exponent& exponent,
           const executor::Buffer& out, const PlanarSizes& shape, bool is_signed) -> StepPointer {
            return std::make_shared<executor::DequantizeDynamic>(x, exponent, out,
                                                                 planar_shape(shape), is_signed);
        },
        "x"_a, "exponent"_a, "out"_a, "shape"_a, "is_signed"_a);
}

}  // namespace sub8::bindings
