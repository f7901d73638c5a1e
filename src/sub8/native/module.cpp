// Python bindings of the native core.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "isa.h"

namespace nb = nanobind;

NB_MODULE(_core, m) {
    m.def(
        "supported_isas",
        [] {
            std::vector<std::string> names;
            for (sub8::Isa isa : sub8::supported_isas()) names.emplace_back(sub8::isa_name(isa));
            return names;
        },
        "Instruction sets that this build holds and this CPU runs, slowest first.");
    m.def(
        "select_isa", [](const std::string& name) { return sub8::isa_name(sub8::select_isa(name)); },
        nb::arg("name") = "",
        "The instruction set to use: name, or the environment variable SUB8_ISA, or the fastest. "
        "Raises ValueError where it is unknown or not supported here.");
}
