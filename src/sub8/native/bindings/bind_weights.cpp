#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

#include "bindings/bindings.h"
#include "conv/weights.h"
#include "loader/fields.h"
#include "loader/layers.h"
#include "weights/format.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace sub8::bindings {

void bind_weights(nb::module_& m) {
    nb::class_<weights::Format>(m, "WeightFormat", "How the integers of weights are stored.")
        .def_ro("name", &weights::Format::name)
        .def_ro("bits", &weights::Format::bits)
        .def_ro("largest", &weights::Format::largest, "Integers are -largest .. largest.")
        .def_prop_ro("codes_per_byte", &weights::Format::codes_per_byte);
    m.def(
        "weight_formats",
        [] {
            return std::vector<weights::Format>(std::begin(weights::kFormatTable),
                                                std::end(weights::kFormatTable));
        },
        "Every format that weights can have.");
    nb::class_<conv::PackedWeights>(m, "PackedWeights",
                                    "Weights of a layer in an instruction set's layout.")
        .def_static(
            "load",
            [](const std::string& isa, const nb::bytes& weights) {
                return loader::load_weights(select_isa(isa), loader::verified<description::Weights>(
                                                                 weights.data(), weights.size()));
            },
            "isa"_a, "weights"_a,
            "Pack described weights. Raises ValueError where they are not what they must be.")
        .def(
            "unpack",
            [](const conv::PackedWeights& weights, std::size_t term) {
                const std::vector<int8_t> values = weights.unpack(term);
                return nb::bytes(reinterpret_cast<const char*>(values.data()), values.size());
            },
            "term"_a, "The int8 integers [O, I, KH, KW] of one term; terms by falling left shift.")
        .def_prop_ro("bytes", &conv::PackedWeights::bytes, "Memory held, in bytes.")
        .def_prop_ro("isa",
                     [](const conv::PackedWeights& weights) { return isa_name(weights.isa()); });
}

}  // namespace sub8::bindings
