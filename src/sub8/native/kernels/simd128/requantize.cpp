// requantize::SumTo8Bit in vectors: 8 outputs at a time (WebAssembly).
#include <wasm_simd128.h>

#include "kernels/declarations.h"
#include "kernels/scalar/parts.h"
#include "kernels/unroll.h"

namespace sub8::kernels::simd128 {
namespace {

// requantize::ShiftRounding.
struct Rounding {
    int shift;
    v128_t half_less_one;
    v128_t bit;  // 1, or 0 where there is nothing to round

    explicit Rounding(int places)
        : shift(places),
          half_less_one(wasm_i32x4_splat(places > 0 ? (1 << (places - 1)) - 1 : 0)),
          bit(wasm_i32x4_splat(places > 0 ? 1 : 0)) {}

    SUB8_INLINE v128_t operator()(v128_t v) const {
        const v128_t odd = wasm_v128_and(wasm_i32x4_shr(v, shift), bit);
        return wasm_i32x4_shr(wasm_i32x4_add(wasm_i32x4_add(v, half_less_one), odd), shift);
    }
};

SUB8_INLINE v128_t load_residual(const uint8_t* from, bool is_signed) {
    return is_signed ? wasm_i16x8_load8x8(from) : wasm_u16x8_load8x8(from);
}

void requantize_narrow(const RequantizeArguments& t) {
    const RequantizeConstants& c = *t.constants;
    const int columns = t.columns / 8 * 8;
    const Rounding round(c.shift);
    const v128_t zero_point = wasm_i16x8_splat(int16_t(c.zero_point));
    const v128_t low = wasm_i16x8_splat(int16_t(c.low)), high = wasm_i16x8_splat(int16_t(c.high));
    for (int row = 0; row < t.rows; ++row) {
        for (int column = 0; column < columns; column += 8) {
            const int32_t* acc = t.acc + row * t.acc_pitch + column;
            const int32_t* offset = c.offset32 + t.output + column;
            v128_t v0 = wasm_i32x4_add(wasm_i32x4_shl(wasm_v128_load(acc), c.acc_shift),
                                       wasm_v128_load(offset));
            v128_t v1 = wasm_i32x4_add(wasm_i32x4_shl(wasm_v128_load(acc + 4), c.acc_shift),
                                       wasm_v128_load(offset + 4));
            if (t.residual != nullptr) {
                const v128_t x =
                    load_residual(t.residual + row * t.pitch + column, c.residual_signed);
                v0 = wasm_i32x4_add(
                    v0, wasm_i32x4_shl(wasm_i32x4_extend_low_i16x8(x), c.residual_shift));
                v1 = wasm_i32x4_add(
                    v1, wasm_i32x4_shl(wasm_i32x4_extend_high_i16x8(x), c.residual_shift));
            }
            v128_t v =
                wasm_i16x8_add_sat(wasm_i16x8_narrow_i32x4(round(v0), round(v1)), zero_point);
            v = wasm_i16x8_min(wasm_i16x8_max(v, low), high);
            // The low byte of each, signed or not.
            const v128_t bytes =
                wasm_i8x16_shuffle(v, v, 0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14);
            wasm_v128_store64_lane(t.out + row * t.pitch + column, bytes, 0);
        }
    }
    if (columns < t.columns) scalar::requantize_from(t, columns);
}

void requantize_all(const RequantizeArguments& t) { scalar::requantize_from(t, 0); }

RequantizeKernel choose(const RequantizeConstants& constants) {
    return constants.narrow ? requantize_narrow : requantize_all;
}

}  // namespace

decltype(KernelSet::requantize) const requantize = choose;

}  // namespace sub8::kernels::simd128
