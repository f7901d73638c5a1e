#include "kernels/elements.inl"

#include "kernels/avx2/look_up.h"  // in the place of the plain one
#include "kernels/declarations.h"

namespace sub8::kernels::avx2 {

const ElementKernels elements = SUB8_ELEMENT_KERNELS;

}  // namespace sub8::kernels::avx2
