#include <nanobind/ndarray.h>

#include "bindings/bindings.h"
#include "executor/buffer.h"

namespace nb = nanobind;

namespace sub8 {

void bind_buffers(nb::module_& m) {
    nb::class_<Buffer>(m, "Buffer", "Where a step finds its data.")
        .def_static("arena", &Buffer::in_arena, nb::arg("offset"), nb::arg("bytes"),
                    "Bytes of the program's arena; offset is a multiple of 64.")
        .def_static("input", &Buffer::input, nb::arg("index"), nb::arg("bytes"),
                    "An input array of the program.")
        .def_static("output", &Buffer::output, nb::arg("index"), nb::arg("bytes"),
                    "An output array of the program.")
        .def_static(
            "constant",
            [](const nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>& data) {
                return Buffer::constant(data.data(), data.nbytes());
            },
            nb::arg("data"), "A copy of a C-contiguous array.")
        .def_prop_ro("bytes", &Buffer::bytes);
}

}  // namespace sub8
