// Depthwise lines of 32 channels, two of 16 (x86 AVX2 with VNNI).
#include "kernels/avxvnni/lanes256.h"
#include "kernels/declarations.h"

namespace sub8::kernels::avxvnni {
namespace {

#include "kernels/depthwise_lines.inl"

DepthwiseLine choose(int lines, int rows, int columns, int stride) {
    return lines == 1 ? depthwise_line_of<Lanes256, 1>(rows, columns, stride)
                      : depthwise_line_of<Lanes256, 2>(rows, columns, stride);
}

}  // namespace

const DepthwiseLines depthwise_lines = {choose, 32, 2};

}  // namespace sub8::kernels::avxvnni
