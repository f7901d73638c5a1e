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

void requantize_narrow(const RequantizeArguments& t, int columns) {
    const RequantizeConstants& c = *t.constants;
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
}

void requantize_any(const RequantizeArguments& t) {
    const int whole = t.constants->narrow ? t.columns / 8 * 8 : 0;
    if (whole > 0) requantize_narrow(t, whole);
    if (whole < t.columns) scalar::requantize_some(t, whole, t.columns);
}

}  // namespace

decltype(KernelSet::requantize) const requantize = requantize_any;

}  // namespace sub8::kernels::neon
