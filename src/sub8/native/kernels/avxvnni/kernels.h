// Parts of the AVX-VNNI kernel table, each filled in by the file of its name.
#pragma once

#include "kernels/kernels.h"

namespace sub8::avxvnni {

void add_dot(Kernels* kernels);

}  // namespace sub8::avxvnni
