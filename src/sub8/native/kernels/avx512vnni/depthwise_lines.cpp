// Depthwise lines of 64 channels, two of 32, four of 16 (x86 AVX-512 with VNNI).
#include "kernels/avx512vnni/lanes512.h"
#include "kernels/declarations.h"

namespace sub8::kernels::avx512vnni {
namespace {

#include "kernels/depthwise_lines.inl"

DepthwiseLine choose(int lines, int rows, int columns, int stride) {
    switch (lines) {
        case 1:
            return depthwise_line_of<Lanes512, 1>(rows, columns, stride);
        case 2:
            return depthwise_line_of<Lanes512, 2>(rows, columns, stride);
        default:
            return depthwise_line_of<Lanes512, 4>(rows, columns, stride);
    }
}

}  // namespace

const DepthwiseLines depthwise_lines = {choose, 64, 4};

}  // namespace sub8::kernels::avx512vnni
