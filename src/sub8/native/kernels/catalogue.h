// From an instruction set to its micro-kernels.
#pragma once

#include "isa.h"
#include "kernels/kernels.h"

namespace sub8::kernels {

// The kernels of an instruction set. Throws std::invalid_argument where this build does not hold
// it.
const KernelSet& kernels_for(Isa isa);

}  // namespace sub8::kernels
