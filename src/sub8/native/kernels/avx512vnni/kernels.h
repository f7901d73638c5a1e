// Parts of the AVX-512 VNNI kernel table, each filled in by the file of its name.
#pragma once

#include "kernels/kernels.h"

namespace sub8::avx512vnni {

void add_dot(Kernels* kernels);
void add_expand(Kernels* kernels);

}  // namespace sub8::avx512vnni
