// Python bindings, one function per part of the core.
#pragma once

#include <nanobind/nanobind.h>

namespace sub8 {

void bind_isa(nanobind::module_& m);
void bind_buffers(nanobind::module_& m);
void bind_layers(nanobind::module_& m);
void bind_elements(nanobind::module_& m);
void bind_dynamic(nanobind::module_& m);
void bind_program(nanobind::module_& m);
void bind_solver(nanobind::module_& m);

}  // namespace sub8
