// Parts of the NEON kernel table, each filled in by the file of its name.
#pragma once

#include "kernels/kernels.h"

namespace sub8::neon {

constexpr int kPanel = 16;  // four vectors of 4 outputs

void add_dot(Kernels* kernels);
void add_expand(Kernels* kernels);
void add_rescale(Kernels* kernels);

}  // namespace sub8::neon
