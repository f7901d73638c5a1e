// The extension module sub8.native._core.
#include "bindings/bindings.h"
#include "bindings/convolution.h"

NB_MODULE(_core, m) {
    // Steps and buffers may well live until the interpreter ends.
    nanobind::set_leak_warnings(false);
    m.doc() = "The C++ core: steps, programs of steps, packed weights; the solver's inner loop.";
    sub8::bind_isa(m);
    sub8::bind_buffers(m);
    sub8::bind_convolution(m);
    sub8::bind_layers(m);
    sub8::bind_elements(m);
    sub8::bind_dynamic(m);
    sub8::bind_program(m);
    sub8::bind_solver(m);
}
