// Python bindings, one function per part of the core, each in the file of its name.
#pragma once

#include <nanobind/nanobind.h>

namespace sub8::bindings {

void bind_isa(nanobind::module_& m);
void bind_weights(nanobind::module_& m);
void bind_convolution(nanobind::module_& m);
void bind_program(nanobind::module_& m);
void bind_model(nanobind::module_& m);
void bind_solver(nanobind::module_& m);

}  // namespace sub8::bindings
