// Parts of the AVX2 kernel table, each filled in by the file of its name.
#pragma once

#include "kernels/kernels.h"

namespace sub8::avx2 {

void add_runs16(Kernels* kernels);
void add_runs16_two(Kernels* kernels);
void add_wide16(Kernels* kernels);
void add_rows(Kernels* kernels);
void add_expand(Kernels* kernels);
void add_rescale(Kernels* kernels);
void add_gather(Kernels* kernels);
void add_depthwise(Kernels* kernels);
void add_winograd(Kernels* kernels);

}  // namespace sub8::avx2
