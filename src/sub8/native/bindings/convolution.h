// Python classes of weighted layers, for the lowering of plans and for tests.
#pragma once

#include <nanobind/nanobind.h>

namespace sub8 {

void bind_convolution(nanobind::module_& module);

}  // namespace sub8
