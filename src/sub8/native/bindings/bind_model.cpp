#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/without_interpreter.h"
#include "runtime/session.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace sub8::bindings {
namespace {

using Sizes = std::optional<std::vector<std::optional<std::int64_t>>>;
using Declared = std::vector<std::tuple<std::string, std::string, Sizes>>;

Declared declared(const std::vector<runtime::Tensor>& tensors) {
    Declared result;
    for (const runtime::Tensor& tensor : tensors) {
        Sizes sizes;
        if (!tensor.any_rank) {
            sizes.emplace();
            for (const std::int64_t size : tensor.sizes) {
                sizes->push_back(size == runtime::kAnySize ? std::nullopt
                                                           : std::optional<std::int64_t>(size));
            }
        }
        result.emplace_back(tensor.name, description::EnumNameDataType(tensor.type), sizes);
    }
    return result;
}

}  // namespace

void bind_model(nb::module_& m) {
    nb::class_<runtime::Compiled>(m, "Compiled", "One program of a Model.")
        .def_ro("inputs", &runtime::Compiled::inputs, "Shapes.")
        .def_ro("outputs", &runtime::Compiled::outputs, "Shapes.")
        .def_prop_ro(
            "images_apart",
            [](const runtime::Compiled& self) { return self.description->images_apart(); },
            "Whether multiples of the first sizes may be run.")
        .def_ro("operators", &runtime::Compiled::operators,
                "Of each step the operator that it belongs to.")
        .def_ro("kinds", &runtime::Compiled::kinds, "Of each step what that operator is.");
    nb::class_<runtime::Model>(m, "Model", "A compiled model, the file .s8.")
        .def_static("open", &runtime::Model::open, "path"_a,
                    "Raises ValueError where it is none, or damaged.")
        .def_static(
            "of_memory",
            [](const nb::bytes& data) {
                return runtime::Model::of_memory(data.data(), data.size());
            },
            "data"_a, "The same of a file's bytes.")
        .def_prop_ro(
            "inputs", [](const runtime::Model& self) { return declared(self.inputs()); },
            "Name, type and sizes of each, None for what may be any.")
        .def_prop_ro(
            "outputs", [](const runtime::Model& self) { return declared(self.outputs()); },
            "Name, type and sizes of each, None for what may be any.")
        .def_prop_ro("programs", &runtime::Model::programs, nb::rv_policy::reference_internal);
    nb::class_<runtime::Session>(m, "Session", "A Model made ready to run.")
        .def(
            "__init__",
            [](runtime::Session* self, const std::shared_ptr<const runtime::Model>& model,
               const std::string& isa, int threads) {
                without_interpreter(
                    [&] { new (self) runtime::Session(model, select_isa(isa), threads); });
            },
            "model"_a, "isa"_a, "threads"_a)
        .def(
            "ready",
            [](const runtime::Session& self, const std::vector<runtime::Shape>& inputs) {
                runtime::Ready ready = self.ready(inputs);
                return std::make_tuple(std::move(ready.program), ready.number,
                                       std::move(ready.outputs));
            },
            "inputs"_a,
            "The Program for inputs of these shapes, its number in the model, the outputs' shapes. "
            "Raises ValueError where the model was not compiled for them.");
}

}  // namespace sub8::bindings
