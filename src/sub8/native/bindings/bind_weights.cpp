#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings/bindings.h"
#include "conv/weights.h"
#include "numeric.h"
#include "weights/format.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace sub8::bindings {
namespace {

using Values = nb::ndarray<const int8_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Alpha = nb::ndarray<const uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// A term and the arrays that it points into.
struct Term {
    conv::WeightTerm term;
    Values values;
    Alpha alpha;
};

conv::WeightShape shape_of(const Term& term, int groups) {
    return {int(term.values.shape(0)), int(term.values.shape(1)), int(term.values.shape(2)),
            int(term.values.shape(3)), groups};
}

std::shared_ptr<const conv::PackedWeights> pack(const std::string& isa,
                                                const std::vector<Term>& terms, int groups) {
    std::vector<conv::WeightTerm> native;
    conv::WeightShape shape{};
    for (const Term& term : terms) {
        const conv::WeightShape own = shape_of(term, groups);
        if (native.empty()) shape = own;
        const bool same = own.outputs == shape.outputs && own.inputs == shape.inputs &&
                          own.kernel_h == shape.kernel_h && own.kernel_w == shape.kernel_w;
        const int cluster = term.term.cluster;
        const int64_t clusters = cluster > 0 ? pieces(own.inputs, cluster) : 0;
        if (!same || int(term.alpha.shape(0)) != own.outputs ||
            int64_t(term.alpha.shape(1)) != clusters) {
            throw std::invalid_argument("weights: shapes of values and alpha do not fit together");
        }
        native.push_back(term.term);
    }
    return conv::PackedWeights::pack(select_isa(isa), shape, native);
}

}  // namespace

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
    nb::class_<Term>(m, "WeightTerm", "alpha[o, i // cluster] * values[o, i, ...] * 2**left_shift.")
        .def(
            "__init__",
            [](Term* self, const std::string& format, int cluster, int left_shift,
               const Values& values, const Alpha& alpha) {
                new (self) Term{
                    {&weights::format(format), cluster, left_shift, values.data(), alpha.data()},
                    values,
                    alpha};
            },
            "format"_a, "cluster"_a, "left_shift"_a, "values"_a, "alpha"_a,
            "values: int8 [O, I, KH, KW]. alpha: uint8 [O, clusters].");
    nb::class_<conv::PackedWeights>(m, "PackedWeights",
                                    "Weights of a layer in an instruction set's layout.")
        .def_static("pack", &pack, "isa"_a, "terms"_a, "groups"_a = 1,
                    "Pack the terms whose sum is the layer's weight.")
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
