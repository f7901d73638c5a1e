// AVX2's loops, by the compiler in 512 bits.
#include "kernels/avx512vnni/lanes512.h"
#include "kernels/declarations.h"

#define SUB8_ELEMENT_BYTES 64  // of a vector
#include "kernels/elements.inl"

// What came after AVX-512 VNNI; tests that emulate it have their own.
#ifndef SUB8_HAS_VBMI
#define SUB8_HAS_VBMI __builtin_cpu_supports("avx512vbmi")
#define SUB8_WITH_VBMI __attribute__((target("avx512vbmi")))
#endif

namespace sub8::kernels::avx512vnni {
namespace {

// A permutation of two vectors looks 128 entries up; the highest bit of a byte tells which two. A
// last vector is masked.
SUB8_WITH_VBMI void look_up_permuted(const u8* x, i64 rows, i64 columns, i64 pitch,
                                     const ByteFunction& function, u8* out) {
    constexpr i64 kVector = 64;
    __m512i parts[4];
    for (int part = 0; part < 4; ++part)
        parts[part] = _mm512_loadu_si512(function.entries + kVector * part);
    if (columns == pitch) columns *= rows, rows = 1;
    for (i64 row = 0; row < rows; ++row, x += pitch, out += pitch) {
        for (i64 i = 0; i < columns; i += kVector) {
            const i64 left = columns - i;
            const __mmask64 some = left < kVector ? (__mmask64(1) << left) - 1 : ~__mmask64(0);
            const __m512i at = _mm512_maskz_loadu_epi8(some, x + i);
            const __m512i lower = _mm512_permutex2var_epi8(parts[0], at, parts[1]);
            const __m512i upper = _mm512_permutex2var_epi8(parts[2], at, parts[3]);
            const __m512i found = _mm512_mask_mov_epi8(lower, _mm512_movepi8_mask(at), upper);
            _mm512_mask_storeu_epi8(out + i, some, found);
        }
    }
}

// Sixteen of a row's bytes at a time, rounded by the conversion from float, whose mode that is.
template <bool Signed>
void bend_as(u8* x, i64 rows, i64 columns, i64 pitch, const float* below, const float* above,
             const Bend& bend) {
    using V = Lanes512;
    constexpr i64 kVector = 64;
    constexpr int kParts = 4;
    const bool to_signed = bend.low < 0;
    const __m512i knee = V::set32(-bend.knee), zero_point = V::set16(bend.zero_point);
    for (i64 row = 0; row < rows; ++row, x += pitch) {
        for (i64 i = 0; i < columns; i += kVector) {
            const i64 left = columns - i;
            const __mmask64 some = left < kVector ? (__mmask64(1) << left) - 1 : ~__mmask64(0);
            const __m512i bytes = _mm512_maskz_loadu_epi8(some, x + i);
            const __m128i quarters[kParts] = {
                _mm512_extracti32x4_epi32(bytes, 0), _mm512_extracti32x4_epi32(bytes, 1),
                _mm512_extracti32x4_epi32(bytes, 2), _mm512_extracti32x4_epi32(bytes, 3)};
            __m512i parts[kParts];
            for (int part = 0; part < kParts; ++part) {
                const i64 first = left > V::count * part ? i + V::count * part : i;
                const __m512i wide = Signed ? _mm512_cvtepi8_epi32(quarters[part])
                                            : _mm512_cvtepu8_epi32(quarters[part]);
                const __m512i from_knee = V::add32(wide, knee);
                const __m512 slope = _mm512_mask_blend_ps(_mm512_movepi32_mask(from_knee),
                                                          _mm512_loadu_ps(above + first),
                                                          _mm512_loadu_ps(below + first));
                parts[part] =
                    _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(from_knee), slope));
            }
            const __m512i lower = V::adds16(V::packs32(parts[0], parts[1]), zero_point);
            const __m512i upper = V::adds16(V::packs32(parts[2], parts[3]), zero_point);
            const __m512i bent = to_signed ? V::packs16(lower, upper) : V::packus16(lower, upper);
            _mm512_mask_storeu_epi8(x + i, some, V::by_places(bent));
        }
    }
}

// In the place of the plain ones.
void bend(u8* x, i64 rows, i64 columns, i64 pitch, const float* below, const float* above,
          const Bend& k) {
    k.is_signed ? bend_as<true>(x, rows, columns, pitch, below, above, k)
                : bend_as<false>(x, rows, columns, pitch, below, above, k);
}

void look_up(const u8* x, i64 rows, i64 columns, i64 pitch, const ByteFunction& function, u8* out) {
    SUB8_HAS_VBMI ? look_up_permuted(x, rows, columns, pitch, function, out)
                  : avx2::elements.look_up(x, rows, columns, pitch, function, out);
}

}  // namespace

const ElementKernels elements = SUB8_ELEMENT_KERNELS;

}  // namespace sub8::kernels::avx512vnni
