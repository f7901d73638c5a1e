// avx2/lanes256.h's with dot products (x86 AVX2 with VNNI).
#pragma once

#include "kernels/avx2/lanes256.h"

namespace sub8::kernels::avxvnni {
namespace {

struct Lanes256 : avx2::Lanes256 {
    static SUB8_INLINE Ints dot(Ints sums, Ints x, Ints w) {
        return _mm256_dpbusd_avx_epi32(sums, x, w);
    }
    static SUB8_INLINE Ints add_product(Ints sum, Ints a, Ints b) {
        return _mm256_dpwssd_avx_epi32(sum, a, b);
    }
};

}  // namespace
}  // namespace sub8::kernels::avxvnni
