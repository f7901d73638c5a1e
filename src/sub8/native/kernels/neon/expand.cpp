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

void scale(const int8_t* codes, const uint8_t* alpha, const uint16_t* run_steps, int runs,
           int8_t* out) {
    for (int run = 0; run < runs; ++run, alpha += 32) {
        int8x16_t scales[4];  // of 4 outputs, a byte for every two lanes
        for (int i = 0; i < 4; ++i) {
            const uint8x8_t pairs = vld1_u8(alpha + 8 * i);
            scales[i] =
                vreinterpretq_s8_u8(vcombine_u8(vzip1_u8(pairs, pairs), vzip2_u8(pairs, pairs)));
        }
        for (int k = 0; k < run_steps[run]; ++k, codes += 64, out += 64) {
            for (int i = 0; i < 4; ++i)
                vst1q_s8(out + 16 * i, vmulq_s8(vld1q_s8(codes + 16 * i), scales[i]));
        }
    }
}

}  // namespace

const Expand w2_expand = expand2;
const Expand w4_expand = expand4;
decltype(KernelSet::scale) const w8_scale = scale;

}  // namespace sub8::kernels::neon
