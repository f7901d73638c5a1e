// The input transform's vectors of 256 bits, for winograd.inl.
#pragma once

#include <immintrin.h>

#include "kernels/unroll.h"
#include "kernels/winograd.h"

namespace sub8::kernels::avx2 {
namespace {

struct Channels16 {
    static constexpr int count = 16;
    typedef uint16_t Words __attribute__((vector_size(32)));

    static SUB8_INLINE Words load(const uint8_t* from, uint8_t flip) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
        return Words(_mm256_cvtepu8_epi16(_mm_xor_si128(bytes, _mm_set1_epi8(char(flip)))));
    }
};

}  // namespace
}  // namespace sub8::kernels::avx2
