#include "isa.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings/bindings.h"

namespace nb = nanobind;

namespace sub8::bindings {

void bind_isa(nb::module_& m) {
    m.def(
        "supported_isas",
        [] {
            std::vector<std::string> names;
            for (const Isa isa : supported_isas()) names.emplace_back(isa_name(isa));
            return names;
        },
        "Instruction sets that this build holds and this CPU runs, slowest first.");
    m.def(
        "select_isa", [](const std::string& name) { return isa_name(select_isa(name)); },
        nb::arg("name") = "",
        "The instruction set to use: name, or the environment variable SUB8_ISA, or the fastest. "
        "Raises ValueError where it is unknown or not supported here.");
}

}  // namespace sub8::bindings
