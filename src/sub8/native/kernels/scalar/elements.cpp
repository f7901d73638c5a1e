#include "kernels/elements.inl"

#include "kernels/declarations.h"

namespace sub8::kernels::scalar {

const ElementKernels elements = SUB8_ELEMENT_KERNELS;

}  // namespace sub8::kernels::scalar
