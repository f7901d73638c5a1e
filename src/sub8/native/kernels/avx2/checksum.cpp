// Checksums by products without carries (Gopal et al., "Fast CRC Computation for Generic
// Polynomials Using PCLMULQDQ Instruction", Intel 2009): what has been read so far is folded onto
// what follows until 16 bytes are left that have the same remainder.
#include <immintrin.h>

#include "kernels/declarations.h"

namespace sub8::kernels::avx2 {
namespace {

constexpr size_t kVector = 16, kVectors = 4;

// x^(d+32), x^(d-32) modulo the polynomial, bits reversed, for a distance of d bits.
__m128i fold_by(int64_t upper, int64_t lower) { return _mm_set_epi64x(upper, lower); }

__m128i load(const uint8_t* data) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(data));
}

__m128i fold(__m128i sum, __m128i factors, __m128i next) {
    const __m128i low = _mm_clmulepi64_si128(sum, factors, 0x00);
    const __m128i high = _mm_clmulepi64_si128(sum, factors, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

uint32_t advance(const uint8_t* data, size_t bytes, uint32_t rest) {
    constexpr size_t kStep = kVectors * kVector;
    if (bytes < kStep) return scalar::crc32(data, bytes, rest);
    __m128i sums[kVectors];
    for (size_t i = 0; i < kVectors; ++i) sums[i] = load(data + i * kVector);
    sums[0] = _mm_xor_si128(sums[0], _mm_cvtsi32_si128(int(rest)));
    data += kStep, bytes -= kStep;
    const __m128i by512 = fold_by(0x1C6E41596, 0x154442BD4);
    for (; bytes >= kStep; data += kStep, bytes -= kStep) {
        for (size_t i = 0; i < kVectors; ++i)
            sums[i] = fold(sums[i], by512, load(data + i * kVector));
    }
    const __m128i by128 = fold_by(0x0CCAA009E, 0x1751997D0);
    __m128i sum = sums[0];
    for (size_t i = 1; i < kVectors; ++i) sum = fold(sum, by128, sums[i]);
    for (; bytes >= kVector; data += kVector, bytes -= kVector) sum = fold(sum, by128, load(data));
    alignas(kVector) uint8_t left[kVector];
    _mm_store_si128(reinterpret_cast<__m128i*>(left), sum);
    return scalar::crc32(data, bytes, scalar::crc32(left, kVector, 0));
}

}  // namespace

const Checksum crc32 = advance;

}  // namespace sub8::kernels::avx2
