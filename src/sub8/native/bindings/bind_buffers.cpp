#include <nanobind/ndarray.h>

#include "bindings/bindings.h"
#include "executor/buffer.h"

namespace nb = nanobind;

namespace sub8::bindings {

void bind_buffers(nb::module_& m) {
    nb::class_<executor::Buffer>(m, "Buffer", "Where a step finds its data.")
        .def_static("arena", &executor::Buffer::in_arena, nb::arg("offset"), nb::arg("bytes"),
                    "Bytes of the program's arena; offset is a multiple of 64.")
        .def_static("input", &executor::Buffer::input, nb::arg("index"), nb::arg("bytes"),
                    "An input array of the program.")
        .def_static("output", &executor::Buffer::output, nb::arg("index"), nb::arg("bytes"),
                    "An output array of the program.")
        .def_static(
            "constant",
            [](const nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>& data) {
                return executor::Buffer::constant(data.data(), data.nbytes());
            },
            nb::arg("data"), "A copy of a C-contiguous array.")
        .def_prop_ro("bytes", &executor::Buffer::bytes);
}

}  // namespace sub8::bindings
