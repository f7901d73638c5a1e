// Depthwise lines of 64 channels, 32 and 16 (x86 AVX-512 with VNNI).
#include "kernels/avx512vnni/lanes512.h"
#include "kernels/declarations.h"

// After vectors.h.
#include "kernels/avx2/lanes128.h"
#include "kernels/avx2/lanes256.h"

namespace sub8::kernels::avx512vnni {
namespace {

struct Dots512 : Lanes512 {
    static SUB8_INLINE Ints dot(Ints sums, Ints x, Ints w) {
        return _mm512_dpbusd_epi32(sums, x, w);
    }
};

struct Dots256 : avx2::Lanes256 {
    static SUB8_INLINE Ints dot(Ints sums, Ints x, Ints w) {
        return _mm256_dpbusd_epi32(sums, x, w);
    }
};

struct Dots128 : avx2::Lanes128 {
    static SUB8_INLINE Ints dot(Ints sums, Ints x, Ints w) { return _mm_dpbusd_epi32(sums, x, w); }
};

#include "kernels/depthwise_lines.inl"

DepthwiseLine choose(int block, int rows, int columns, int stride) {
    switch (block) {
        case 64:
            return depthwise_line_of<Dots512>(rows, columns, stride);
        case 32:
            return depthwise_line_of<Dots256>(rows, columns, stride);
        default:
            return depthwise_line_of<Dots128>(rows, columns, stride);
    }
}

}  // namespace

const DepthwiseLines depthwise_lines = {choose, 64, 16};

}  // namespace sub8::kernels::avx512vnni
