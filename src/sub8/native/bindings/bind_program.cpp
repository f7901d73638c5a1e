#include "executor/program.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>

#include "bindings/bindings.h"
#include "bindings/without_interpreter.h"
#include "loader/fields.h"
#include "loader/program.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace sub8::bindings {
namespace {

using InputArray = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using OutputArray = nb::ndarray<nb::c_contig, nb::device::cpu>;

template <typename Pointer, typename Array>
std::vector<Pointer> pointers(const std::vector<Array>& arrays,
                              const std::vector<std::size_t>& part_bytes, int parts,
                              const char* what) {
    if (arrays.size() != part_bytes.size()) {
        throw std::invalid_argument("the program takes " + std::to_string(part_bytes.size()) + " " +
                                    what + " arrays, not " + std::to_string(arrays.size()));
    }
    std::vector<Pointer> result;
    for (std::size_t i = 0; i < arrays.size(); ++i) {
        const std::size_t bytes = part_bytes[i] * static_cast<std::size_t>(parts);
        if (arrays[i].nbytes() != bytes) {
            throw std::invalid_argument(std::string(what) + " array " + std::to_string(i) +
                                        " has " + std::to_string(arrays[i].nbytes()) +
                                        " bytes instead of " + std::to_string(bytes));
        }
        if (reinterpret_cast<std::uintptr_t>(arrays[i].data()) % alignof(float) != 0) {
            throw std::invalid_argument(std::string(what) + " array " + std::to_string(i) +
                                        " is not aligned");
        }
        result.push_back(static_cast<Pointer>(arrays[i].data()));
    }
    return result;
}

void run(const executor::Program& program, const std::vector<InputArray>& inputs,
         const std::vector<OutputArray>& outputs, std::int64_t* nanoseconds) {
    const int parts = program.parts();
    const auto from = pointers<const std::uint8_t*>(inputs, program.input_bytes(), parts, "input");
    const auto to = pointers<std::uint8_t*>(outputs, program.output_bytes(), parts, "output");
    without_interpreter([&] { program.run(from, to, nanoseconds); });
}

}  // namespace

void bind_program(nb::module_& m) {
    nb::class_<executor::Program>(m, "Program",
                                  "Steps in order, one arena, a fixed number of threads.")
        .def_static(
            "load",
            [](const std::string& isa, int threads, int parts, const loader::Layers& layers,
               const nb::bytes& program) {
                return loader::load_program(
                    select_isa(isa), threads, parts, layers,
                    loader::verified<description::Program>(program.data(), program.size()));
            },
            "isa"_a, "threads"_a, "parts"_a, "layers"_a, "program"_a,
            "A described program and the layers that its steps run, by their numbers there. parts: "
            "how often the steps run, each time on the next input_bytes and output_bytes of every "
            "array; threads share the parts where there are several. Raises ValueError where "
            "anything does not fit.")
        .def(
            "run",
            [](const executor::Program& self, const std::vector<InputArray>& inputs,
               const std::vector<OutputArray>& outputs) { run(self, inputs, outputs, nullptr); },
            "inputs"_a.noconvert(), "outputs"_a.noconvert(),
            "One call, without the interpreter lock; safe from many threads. Arrays are "
            "C-contiguous and of exactly the sizes of all parts.")
        .def(
            "profile",
            [](const executor::Program& self, const std::vector<InputArray>& inputs,
               const std::vector<OutputArray>& outputs) {
                std::vector<std::int64_t> nanoseconds(self.step_count());
                run(self, inputs, outputs, nanoseconds.data());
                return nanoseconds;
            },
            "inputs"_a.noconvert(), "outputs"_a.noconvert(),
            "As run; returns nanoseconds per step, of all parts divided by the threads that share "
            "them.")
        .def_prop_ro("arena_bytes", &executor::Program::arena_bytes)
        .def_prop_ro("threads", &executor::Program::threads)
        .def_prop_ro("parts", &executor::Program::parts)
        .def_prop_ro("isa", [](const executor::Program& self) { return isa_name(self.isa()); });
}

}  // namespace sub8::bindings
