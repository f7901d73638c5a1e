// Packed weights to the kernels' operands (ARM NEON).
#include <arm_neon.h>

#include "kernels/declarations.h"

namespace sub8::kernels::neon {
namespace {

void expand2(const uint8_t* packed, int vectors, int8_t* out) {
    const uint8x16_t mask = vdupq_n_u8(3);
    const int8x16_t one = vdupq_n_s8(1);
    for (int unit = 0; unit < vectors / 4; ++unit, packed += 32, out += 128) {
        for (int half = 0; half < 32; half += 16) {
            const uint8x16_t p = vld1q_u8(packed + half);
            const auto put = [&](int field, uint8x16_t shifted) {
                vst1q_s8(out + 32 * field + half,
                         vsubq_s8(vreinterpretq_s8_u8(vandq_u8(shifted, mask)), one));
            };
            put(0, p);
            put(1, vshrq_n_u8(p, 2));
            put(2, vshrq_n_u8(p, 4));
            put(3, vshrq_n_u8(p, 6));
        }
    }
}

void expand4(const uint8_t* packed, int vectors, int8_t* out) {
    const uint8x16_t mask = vdupq_n_u8(15);
    const int8x16_t eight = vdupq_n_s8(8);
    for (int unit = 0; unit < vectors / 2; ++unit, packed += 32, out += 64) {
        for (int half = 0; half < 32; half += 16) {
            const uint8x16_t p = vld1q_u8(packed + half);
            vst1q_s8(out + half, vsubq_s8(vreinterpretq_s8_u8(vandq_u8(p, mask)), eight));
            vst1q_s8(out + 32 + half, vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(p, 4)), eight));
        }
    }
}

}  // namespace

const Expand w2_expand = expand2;
const Expand w4_expand = expand4;

}  // namespace sub8::kernels::neon
