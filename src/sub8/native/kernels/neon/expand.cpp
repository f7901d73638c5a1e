// Packed weights to the kernels' operands (ARM NEON).
#include <arm_neon.h>

#include "kernels/declarations.h"
#include "kernels/unroll.h"

namespace sub8::kernels::neon {
namespace {

constexpr int kPanel = 16;

using Vector = uint8x16_t;

SUB8_INLINE Vector load_unaligned(const void* from) {
    return vld1q_u8(static_cast<const uint8_t*>(from));
}
SUB8_INLINE void store(int8_t* to, Vector value) { vst1q_s8(to, vreinterpretq_s8_u8(value)); }

struct Scales {
    Vector factors, bytes;
};
SUB8_INLINE Scales load_scales(const uint8_t* alpha) {
    const uint8x8_t pairs = vld1_u8(alpha);
    const Vector bytes = vcombine_u8(vzip1_u8(pairs, pairs), vzip2_u8(pairs, pairs));
    return {bytes, bytes};
}
SUB8_INLINE Vector times(Vector codes, Vector factors) { return vmulq_u8(codes, factors); }

#include "kernels/expand.inl"

}  // namespace

const Expand w2_expand = expand<2, 1>;
const Expand w4_expand = expand<4, 8>;
const ExpandScaled w2_expand_scaled = expand_scaled;

}  // namespace sub8::kernels::neon
