// Depthwise lines of 32 channels, two of 16 (x86 AVX2 with VNNI).
#include "kernels/avx2/lanes256.h"
#include "kernels/declarations.h"

namespace sub8::kernels::avxvnni {
namespace {

struct Dots256 : avx2::Lanes256 {
    static SUB8_INLINE Ints dot(Ints sums, Ints x, Ints w) {
        return _mm256_dpbusd_avx_epi32(sums, x, w);
    }
};

#include "kernels/depthwise_lines.inl"

DepthwiseLine choose(int lines, int rows, int columns, int stride) {
    return lines == 1 ? depthwise_line_of<Dots256, 1>(rows, columns, stride)
                      : depthwise_line_of<Dots256, 2>(rows, columns, stride);
}

}  // namespace

const DepthwiseLines depthwise_lines = {choose, 32, 2};

}  // namespace sub8::kernels::avxvnni
