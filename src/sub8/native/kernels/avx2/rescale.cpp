// Accumulators to 8-bit results, 16 outputs at a time (x86 AVX2).
#include "kernels/avx2/kernels.h"
#include "kernels/avx2/tile.h"
#include "kernels/scalar/scalar_kernels.h"

namespace sub8::avx2 {
namespace {

inline __m256i load_residual(const uint8_t* from, bool is_signed) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return is_signed ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
}

// 16 int16 values (lanes as vpackssdw leaves them) plus zero point, clamped, to bytes in order.
struct Narrowing {
    __m256i zero_point, low, high;
    bool out_signed;

    explicit Narrowing(const RescaleConstants& c)
        : zero_point(_mm256_set1_epi16(int16_t(c.zero_point))),
          low(_mm256_set1_epi16(int16_t(c.low))),
          high(_mm256_set1_epi16(int16_t(c.high))),
          out_signed(c.out_signed) {}

    __m128i operator()(__m256i v0, __m256i v1) const {
        __m256i v = _mm256_permute4x64_epi64(_mm256_packs_epi32(v0, v1), 0xd8);
        v = _mm256_adds_epi16(v, zero_point);
        v = _mm256_min_epi16(_mm256_max_epi16(v, low), high);
        const __m128i lower = _mm256_castsi256_si128(v);
        const __m128i upper = _mm256_extracti128_si256(v, 1);
        return out_signed ? _mm_packs_epi16(lower, upper) : _mm_packus_epi16(lower, upper);
    }
};

// v / 2**shift rounded half to even: v + (2**(shift-1) - 1) + bit `shift` of v, shifted down.
struct Rounding {
    __m128i count;
    __m256i half_less_one;
    __m256i bit;  // 1, or 0 where there is nothing to round

    explicit Rounding(int shift)
        : count(_mm_cvtsi32_si128(shift)),
          half_less_one(_mm256_set1_epi32(shift > 0 ? (1 << (shift - 1)) - 1 : 0)),
          bit(_mm256_set1_epi32(shift > 0 ? 1 : 0)) {}

    __m256i operator()(__m256i v) const {
        const __m256i odd = _mm256_and_si256(_mm256_sra_epi32(v, count), bit);
        return _mm256_sra_epi32(_mm256_add_epi32(_mm256_add_epi32(v, half_less_one), odd), count);
    }
};

template <bool has_residual>
void rescale_narrow(const RescaleArguments& t) {
    const RescaleConstants& c = *t.constants;
    const Rounding round(c.shift);
    const Narrowing narrow(c);
    const __m128i acc_shift = _mm_cvtsi32_si128(c.acc_shift);
    const __m128i residual_shift = _mm_cvtsi32_si128(c.residual_shift);
    for (int column = 0; column + 16 <= t.columns; column += 16) {
        const __m256i offset0 = load_unaligned(c.offset32 + t.output + column);
        const __m256i offset1 = load_unaligned(c.offset32 + t.output + column + 8);
        for (int row = 0; row < t.rows; ++row) {
            const int32_t* acc = t.acc + row * t.acc_pitch + column;
            __m256i v0 =
                _mm256_add_epi32(_mm256_sll_epi32(load_unaligned(acc), acc_shift), offset0);
            __m256i v1 =
                _mm256_add_epi32(_mm256_sll_epi32(load_unaligned(acc + 8), acc_shift), offset1);
            if constexpr (has_residual) {
                const uint8_t* residual = t.residual + row * t.pitch + column;
                v0 = _mm256_add_epi32(
                    v0,
                    _mm256_sll_epi32(load_residual(residual, c.residual_signed), residual_shift));
                v1 = _mm256_add_epi32(
                    v1, _mm256_sll_epi32(load_residual(residual + 8, c.residual_signed),
                                         residual_shift));
            }
            _mm_storeu_si128(reinterpret_cast<__m128i*>(t.out + row * t.pitch + column),
                             narrow(round(v0), round(v1)));
        }
    }
}

void rescale(const RescaleArguments& t) {
    int done = 0;
    if (t.constants->narrow) {
        if (t.residual != nullptr) {
            rescale_narrow<true>(t);
        } else {
            rescale_narrow<false>(t);
        }
        done = t.columns / 16 * 16;
    }
    if (done < t.columns) scalar::rescale(t, done, t.columns);
}

}  // namespace

void add_rescale(Kernels* kernels) { kernels->rescale = rescale; }

}  // namespace sub8::avx2
