// From an instruction set to its micro-kernels.
#pragma once

#include "isa.h"
#include "kernels/kernels.h"

namespace sub8 {

// The kernels of an instruction set that this build holds (isa.h).
const Kernels& kernels_for(Isa isa);

}  // namespace sub8
