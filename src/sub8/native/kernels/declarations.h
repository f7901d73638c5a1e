// Every kernel of the catalogue, declared as what its place in KernelSet holds. Files that define
// one include this, so that it is seen from outside and has the right type.
#pragma once

#include "kernels/kernels.h"

#define SUB8_PANEL(set, outputs, signed_activations)
#define SUB8_KERNEL(set, place, home, name)                      \
    namespace sub8::kernels::home {                              \
    extern const decltype(sub8::kernels::KernelSet::place) name; \
    }
#include "kernels/kernels.inc"
#undef SUB8_KERNEL
#undef SUB8_PANEL
