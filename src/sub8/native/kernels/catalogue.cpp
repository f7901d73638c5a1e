#include "kernels/catalogue.h"

#include <stdexcept>

#include "if_built.h"
#include "kernels/declarations.h"

namespace sub8::kernels {
namespace {

KernelSet make_kernels(Isa isa) {
    KernelSet kernels{};
#define SUB8_PANEL(set, outputs, is_signed)     \
    if (isa == Isa::set) {                      \
        kernels.panel = outputs;                \
        kernels.signed_activations = is_signed; \
    }
#define SUB8_KERNEL(set, place, home, name) \
    SUB8_IF_BUILT(set, if (isa == Isa::set) kernels.place = home::name;)
#include "kernels/kernels.inc"
#undef SUB8_KERNEL
#undef SUB8_PANEL
    return kernels;
}

}  // namespace

const KernelSet& kernels_for(Isa isa) {
    switch (isa) {
#define SUB8_ISA(name, ...)                                           \
    SUB8_IF_BUILT(                                                    \
        name, case Isa::name : {                                      \
            static const KernelSet kernels = make_kernels(Isa::name); \
            return kernels;                                           \
        })
#include "isa.inc"
#undef SUB8_ISA
        default:
            throw std::invalid_argument("no kernels for this instruction set in this build");
    }
}

}  // namespace sub8::kernels
