#include "kernels/elementwise.h"

namespace sub8 {

namespace elementwise_scalar {
extern const ElementKernels element_table;
}
namespace elementwise_avx2 {
extern const ElementKernels element_table;
}

const ElementKernels& element_kernels(Isa isa) {
#ifdef SUB8_WITH_AVX2
    if (isa != Isa::scalar) return elementwise_avx2::element_table;
#endif
    (void)isa;
    return elementwise_scalar::element_table;
}

}  // namespace sub8
