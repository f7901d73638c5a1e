// The extension module sub8.native._core.
#include "bindings/bindings.h"

NB_MODULE(_core, m) {
    // Steps and buffers may well live until the interpreter ends.
    nanobind::set_leak_warnings(false);
    m.doc() = "The C++ core: steps, programs of steps, packed weights; the solver's inner loop.";
    sub8::bindings::bind_isa(m);
    sub8::bindings::bind_buffers(m);
    sub8::bindings::bind_weights(m);
    sub8::bindings::bind_requantize(m);
    sub8::bindings::bind_elements(m);
    sub8::bindings::bind_convolution(m);
    sub8::bindings::bind_matmul(m);
    sub8::bindings::bind_dynamic(m);
    sub8::bindings::bind_program(m);
    sub8::bindings::bind_solver(m);
}
