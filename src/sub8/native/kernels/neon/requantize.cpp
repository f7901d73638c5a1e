// requantize::SumTo8Bit in vectors: 8 outputs at a time (ARM NEON).
#include <arm_neon.h>

#include "kernels/declarations.h"
#include "kernels/scalar/parts.h"

namespace sub8::kernels::neon {
namespace {

// requantize::ShiftRounding.
struct Rounding {
    int32x4_t down;
    int32x4_t half_less_one;
    int32x4_t bit;  // 1, or 0 where there is nothing to round

    explicit Rounding(int shift)
        : down(vdupq_n_s32(-shift)),
          half_less_one(vdupq_n_s32(shift > 0 ? (1 << (shift - 1)) - 1 : 0)),
          bit(vdupq_n_s32(shift > 0 ? 1 : 0)) {}

    int16x4_t operator()(int32x4_t v) const {
        const int32x4_t odd = vandq_s32(vshlq_s32(v, down), bit);
        return vqmovn_s32(vshlq_s32(vaddq_s32(vaddq_s32(v, half_less_one), odd), down));
    }
};

int16x8_t load_residual(const uint8_t* from, bool is_signed) {
    const uint8x8_t bytes = vld1_u8(from);
    return is_signed ? vmovl_s8(vreinterpret_s8_u8(bytes)) : vreinterpretq_s16_u16(vmovl_u8(bytes));
}

void requantize_narrow(const RequantizeArguments& t) {
    const RequantizeConstants& c = *t.constants;
    const int columns = t.columns / 8 * 8;
    const Rounding round(c.shift);
    const int32x4_t acc_shift = vdupq_n_s32(c.acc_shift);
    const int32x4_t residual_shift = vdupq_n_s32(c.residual_shift);
    const int16x8_t zero_point = vdupq_n_s16(int16_t(c.zero_point));
    const int16x8_t low = vdupq_n_s16(int16_t(c.low)), high = vdupq_n_s16(int16_t(c.high));
    for (int row = 0; row < t.rows; ++row) {
        for (int column = 0; column < columns; column += 8) {
            const int32_t* acc = t.acc + row * t.acc_pitch + column;
            const int32_t* offset = c.offset32 + t.output + column;
            int32x4_t v0 = vaddq_s32(vshlq_s32(vld1q_s32(acc), acc_shift), vld1q_s32(offset));
            int32x4_t v1 =
                vaddq_s32(vshlq_s32(vld1q_s32(acc + 4), acc_shift), vld1q_s32(offset + 4));
            if (t.residual != nullptr) {
                const int16x8_t x =
                    load_residual(t.residual + row * t.pitch + column, c.residual_signed);
                v0 = vaddq_s32(v0, vshlq_s32(vmovl_s16(vget_low_s16(x)), residual_shift));
                v1 = vaddq_s32(v1, vshlq_s32(vmovl_s16(vget_high_s16(x)), residual_shift));
            }
            int16x8_t v = vqaddq_s16(vcombine_s16(round(v0), round(v1)), zero_point);
            v = vminq_s16(vmaxq_s16(v, low), high);
            vst1_u8(t.out + row * t.pitch + column, vreinterpret_u8_s8(vmovn_s16(v)));
        }
    }
    if (columns < t.columns) scalar::requantize_from(t, columns);
}

// Four sums of 64 bits, rounded: vrshl rounds ties upwards, and those go back to even.
struct WideRounding {
    int64x2_t down, half, fraction;
    bool ties;

    WideRounding(int shift, bool may_tie)
        : down(vdupq_n_s64(-shift)),
          half(vdupq_n_s64(int64_t(1) << (shift - 1))),
          fraction(vdupq_n_s64((int64_t(1) << shift) - 1)),
          ties(may_tie) {}

    int32x2_t two(int64x2_t v) const {
        const int32x2_t rounded = vmovn_s64(vrshlq_s64(v, down));
        if (!ties) return rounded;
        const uint64x2_t tie = vceqzq_s64(vandq_s64(vaddq_s64(v, half), fraction));
        return vbic_s32(rounded, vreinterpret_s32_u32(vshr_n_u32(vmovn_u64(tie), 31)));
    }

    int16x4_t operator()(int64x2_t low, int64x2_t high) const {
        return vqmovn_s32(vcombine_s32(two(low), two(high)));
    }
};

void requantize_wide(const RequantizeArguments& t) {
    const RequantizeConstants& c = *t.constants;
    const int columns = t.columns / 8 * 8;
    const WideRounding round(c.shift, c.ties);
    const int32x2_t residual_multiplier = vdup_n_s32(int32_t(c.residual_multiplier));
    const int16x8_t zero_point = vdupq_n_s16(int16_t(c.zero_point));
    const int16x8_t low = vdupq_n_s16(int16_t(c.low)), high = vdupq_n_s16(int16_t(c.high));
    for (int column = 0; column < columns; column += 8) {
        int32x2_t multiplier[4];
        int64x2_t offset[4];
        for (int i = 0; i < 4; ++i) {
            const int output = t.output + column + 2 * i;
            multiplier[i] = vmovn_s64(vld1q_s64(c.multiplier + output));
            offset[i] = vld1q_s64(c.offset + output);
        }
        for (int row = 0; row < t.rows; ++row) {
            const int32_t* acc = t.acc + row * t.acc_pitch + column;
            int64x2_t sums[4];
            for (int i = 0; i < 4; ++i)
                sums[i] = vmlal_s32(offset[i], vld1_s32(acc + 2 * i), multiplier[i]);
            if (t.residual != nullptr) {
                const int16x8_t x =
                    load_residual(t.residual + row * t.pitch + column, c.residual_signed);
                const int32x4_t x0 = vmovl_s16(vget_low_s16(x)), x1 = vmovl_s16(vget_high_s16(x));
                sums[0] = vmlal_s32(sums[0], vget_low_s32(x0), residual_multiplier);
                sums[1] = vmlal_s32(sums[1], vget_high_s32(x0), residual_multiplier);
                sums[2] = vmlal_s32(sums[2], vget_low_s32(x1), residual_multiplier);
                sums[3] = vmlal_s32(sums[3], vget_high_s32(x1), residual_multiplier);
            }
            const int16x8_t rounded =
                vcombine_s16(round(sums[0], sums[1]), round(sums[2], sums[3]));
            const int16x8_t v = vminq_s16(vmaxq_s16(vqaddq_s16(rounded, zero_point), low), high);
            vst1_u8(t.out + row * t.pitch + column, vreinterpret_u8_s8(vmovn_s16(v)));
        }
    }
    if (columns < t.columns) scalar::requantize_from(t, columns);
}

RequantizeKernel choose(const RequantizeConstants& c) {
    if (c.narrow) return requantize_narrow;
    return c.wide ? requantize_wide : scalar::requantize(c);
}

}  // namespace

decltype(KernelSet::requantize) const requantize = choose;

}  // namespace sub8::kernels::neon
