// The extension module sub8.native._core.
#include "bindings/bindings.h"

NB_MODULE(_core, m) {
    // Programs and layers may well live until the interpreter ends.
    nanobind::set_leak_warnings(false);
    m.doc() = "The C++ core: programs of steps, packed weights; the solver's inner loop.";
    sub8::bindings::bind_isa(m);
    sub8::bindings::bind_weights(m);
    sub8::bindings::bind_convolution(m);
    sub8::bindings::bind_program(m);
    sub8::bindings::bind_model(m);
    sub8::bindings::bind_solver(m);
}
