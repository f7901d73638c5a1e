#define SUB8_KERNELS elementwise_scalar
#include "kernels/elementwise.inl"

namespace sub8 {
namespace SUB8_KERNELS {

extern const ElementKernels element_table;
const ElementKernels element_table = {quantize,   interleave,      dequantize,  binary,
                                      look_up,    largest_of_rows, add_rows,    largest_magnitude,
                                      narrow_sum, largest_total,   narrow_round};

}  // namespace SUB8_KERNELS
}  // namespace sub8
