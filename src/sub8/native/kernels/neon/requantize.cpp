// requantize::SumTo8Bit in vectors: 16 outputs at a time (ARM NEON).
#include <arm_neon.h>

#include "kernels/declarations.h"
#include "kernels/scalar/parts.h"

namespace sub8::kernels::neon {
namespace {

int16x8_t load_residual(const uint8_t* from, bool is_signed) {
    const uint8x8_t bytes = vld1_u8(from);
    return is_signed ? vmovl_s8(vreinterpret_s8_u8(bytes)) : vreinterpretq_s16_u16(vmovl_u8(bytes));
}

// requantize::ShiftRounding of sums that are one less than they should be: then vrshl, which rounds
// ties upwards, does what is wanted once the lowest bit of what will be left is added.
struct Rounding {
    int32x4_t down;
    int32x4_t bit;   // 1, or 0 where there is nothing to round
    int32x4_t less;  // the same

    explicit Rounding(int shift)
        : down(vdupq_n_s32(-shift)), bit(vdupq_n_s32(shift > 0 ? 1 : 0)), less(bit) {}

    int32x4_t operator()(int32x4_t v) const {
        const int32x4_t odd = vandq_s32(vshlq_s32(v, down), bit);
        return vrshlq_s32(vaddq_s32(v, odd), down);
    }
};

template <bool is_signed>
uint8x16_t clamp(uint8x16_t v, uint8x16_t low, uint8x16_t high) {
    if constexpr (!is_signed) return vminq_u8(vmaxq_u8(v, low), high);
    const int8x16_t least = vreinterpretq_s8_u8(low), most = vreinterpretq_s8_u8(high);
    return vreinterpretq_u8_s8(vminq_s8(vmaxq_s8(vreinterpretq_s8_u8(v), least), most));
}

// What a layer's constants leave to be done.
template <bool has_residual_, bool scaled_, bool saturating_, bool out_signed_>
struct Form {
    static constexpr bool has_residual = has_residual_;
    static constexpr bool scaled = scaled_;  // acc_shift != 0
    static constexpr bool saturating =
        saturating_;  // saturation alone clamps, and there is no zero point
    static constexpr bool out_signed = out_signed_;
};

// Columns of a panel, 8 or 16 of them. A copy of the arguments: a store of bytes could change what
// it points to, for all the compiler knows, and everything would be read again for every row.
template <typename Form, int columns>
void requantize_narrow_columns(const RequantizeArguments& arguments, int column) {
    constexpr int kVectors = columns / 4;
    const RequantizeArguments t = arguments;
    const RequantizeConstants c = *t.constants;
    const Rounding round(c.shift);
    const int32x4_t acc_shift = vdupq_n_s32(c.acc_shift);
    const int32x4_t residual_shift = vdupq_n_s32(c.residual_shift);
    const int16x8_t zero_point = vdupq_n_s16(int16_t(c.zero_point));
    const uint8x16_t low = vdupq_n_u8(uint8_t(c.low)), high = vdupq_n_u8(uint8_t(c.high));
    int32x4_t offset[kVectors];
    for (int i = 0; i < kVectors; ++i)
        offset[i] = vsubq_s32(vld1q_s32(c.offset32 + t.output + column + 4 * i), round.less);
    const int32_t* acc = t.acc + column;
    const uint8_t* residual = Form::has_residual ? t.residual + column : nullptr;
    uint8_t* out = t.out + column;
    for (int row = t.rows; row > 0; --row) {
        uint8x8_t bytes[columns / 8];
        for (int half = 0; half < columns / 8; ++half) {
            int32x4_t v[2];
            for (int i = 0; i < 2; ++i) {
                v[i] = vld1q_s32(acc + 8 * half + 4 * i);
                if constexpr (Form::scaled) v[i] = vshlq_s32(v[i], acc_shift);
                v[i] = vaddq_s32(v[i], offset[2 * half + i]);
            }
            if constexpr (Form::has_residual) {
                const int16x8_t x = load_residual(residual + 8 * half, c.residual_signed);
                v[0] = vaddq_s32(v[0], vshlq_s32(vmovl_s16(vget_low_s16(x)), residual_shift));
                v[1] = vaddq_s32(v[1], vshlq_s32(vmovl_s16(vget_high_s16(x)), residual_shift));
            }
            int16x8_t w = vcombine_s16(vqmovn_s32(round(v[0])), vqmovn_s32(round(v[1])));
            if constexpr (!Form::saturating) w = vqaddq_s16(w, zero_point);
            bytes[half] = Form::out_signed ? vreinterpret_u8_s8(vqmovn_s16(w)) : vqmovun_s16(w);
        }
        uint8x16_t result = vcombine_u8(bytes[0], bytes[columns / 8 - 1]);
        if constexpr (!Form::saturating) result = clamp<Form::out_signed>(result, low, high);
        if constexpr (columns == 16) {
            vst1q_u8(out, result);
        } else {
            vst1_u8(out, vget_low_u8(result));
        }
        acc += t.acc_pitch;
        if (Form::has_residual) residual += t.pitch;
        out += t.pitch;
    }
}

template <bool... flags>
void requantize_narrow(const RequantizeArguments& t) {
    using Narrow = Form<flags...>;
    int column = 0;
    for (; column + 16 <= t.columns; column += 16) requantize_narrow_columns<Narrow, 16>(t, column);
    if (column + 8 <= t.columns) {
        requantize_narrow_columns<Narrow, 8>(t, column);
        column += 8;
    }
    if (column < t.columns) scalar::requantize_from(t, column);
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

// From properties of the constants to the instance for them.
template <bool... flags>
RequantizeKernel narrow() {
    return requantize_narrow<flags...>;
}

template <bool... flags, typename... Rest>
RequantizeKernel narrow(bool flag, Rest... rest) {
    return flag ? narrow<flags..., true>(rest...) : narrow<flags..., false>(rest...);
}

RequantizeKernel choose(const RequantizeConstants& c) {
    const int low = c.out_signed ? -128 : 0;
    const bool saturating = c.zero_point == 0 && c.low == low && c.high == low + 255;
    if (c.narrow) return narrow(c.has_residual, c.acc_shift != 0, saturating, c.out_signed);
    return c.wide ? requantize_wide : scalar::requantize(c);
}

}  // namespace

decltype(KernelSet::requantize) const requantize = choose;

}  // namespace sub8::kernels::neon
