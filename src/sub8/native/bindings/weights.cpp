#include "conv/weights.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <climits>
#include <string>
#include <tuple>
#include <vector>

#include "bindings/bindings.h"
#include "executor/sizes.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace sub8 {
namespace {

using Values = nb::ndarray<const int8_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Alpha = nb::ndarray<const uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Term = std::tuple<std::string, int, int, Values, Alpha>;

WeightKind kind_of(const std::string& name) {
    if (name == "ternary") return WeightKind::ternary;
    if (name == "int4") return WeightKind::int4;
    if (name == "int8") return WeightKind::int8;
    throw std::invalid_argument("kind '" + name + "' unknown; use ternary, int4 or int8");
}

std::shared_ptr<const PackedWeights> pack(const std::string& isa, int groups,
                                          const std::vector<Term>& terms) {
    require(!terms.empty(), "a layer needs at least one term");
    const Values& first = std::get<3>(terms[0]);
    for (std::size_t axis = 0; axis < 4; ++axis) {
        require(first.shape(axis) >= 1 && first.shape(axis) <= INT_MAX,
                "a weight's size is out of range");
    }
    const WeightShape shape{static_cast<int>(first.shape(0)), static_cast<int>(first.shape(1)),
                            static_cast<int>(first.shape(2)), static_cast<int>(first.shape(3)),
                            groups};
    std::vector<WeightTerm> parts;
    for (const auto& [kind, cluster, left_shift, values, alpha] : terms) {
        for (std::size_t axis = 0; axis < 4; ++axis) {
            require(values.shape(axis) == first.shape(axis), "terms differ in shape");
        }
        require(cluster >= 1 && cluster <= shape.inputs, "a cluster lies in 1..inputs");
        require(alpha.shape(0) == first.shape(0) &&
                    static_cast<int>(alpha.shape(1)) == (shape.inputs + cluster - 1) / cluster,
                "alpha does not fit the values");
        parts.push_back({kind_of(kind), cluster, left_shift, values.data(), alpha.data()});
    }
    const nb::gil_scoped_release unlocked;
    return PackedWeights::pack(select_isa(isa), shape, parts);
}

}  // namespace

void bind_weights(nb::module_& m) {
    nb::class_<PackedWeights>(m, "PackedWeights", "Weights in the layout of one instruction set.")
        .def_prop_ro("bytes", &PackedWeights::bytes)
        .def_prop_ro("isa", [](const PackedWeights& self) { return isa_name(self.isa()); });
    m.def(
        "pack_weights",
        [](const std::string& isa, int groups, const std::vector<Term>& terms) {
            return std::const_pointer_cast<PackedWeights>(pack(isa, groups, terms));
        },
        "isa"_a, "groups"_a, "terms"_a,
        "Pack a layer. terms: (kind, cluster, left shift, int8 [O, I, KH, KW], uint8 [O, ceil(I / "
        "cluster)]) each. "
        "Raises ValueError where a value is out of range or an accumulator could leave int32.");
}

}  // namespace sub8
