#include <stdexcept>

#include "kernels/table.h"

namespace sub8 {

const Kernels& kernels_for(Isa isa) {
    switch (isa) {
#ifdef SUB8_WITH_AVX2
        case Isa::avx2:
            return avx2_kernels();
#endif
#ifdef SUB8_WITH_AVXVNNI
        case Isa::avxvnni:
            return avxvnni_kernels();
#endif
#ifdef SUB8_WITH_AVX512VNNI
        case Isa::avx512vnni:
            return avx512vnni_kernels();
#endif
#ifdef SUB8_WITH_NEON
        case Isa::neon:
            return neon_kernels();
#endif
        case Isa::scalar:
            return scalar_kernels();
        default:
            throw std::invalid_argument("no kernels for this instruction set in this build");
    }
}

}  // namespace sub8
