// 8-bit dot products (sdot): tiles of 1-4 rows x 16 outputs (ARMv8.2 with dot products).
//
// Both operands are signed, so unsigned activations come with their top bit flipped. 4 rows x 4
// vectors are 16 sums; the totals of dotruns live in memory and are visited once a run.
#include <arm_neon.h>

#include "kernels/declarations.h"
#include "kernels/tiles.h"
#include "kernels/unroll.h"

namespace sub8::kernels::neon {
namespace {

constexpr int kPanel = 16;  // four vectors of 4 outputs

template <int rows>
struct Tile {
    int32x4_t v[rows][4];

    SUB8_INLINE void clear() { SUB8_ROWS(for (int i = 0; i < 4; ++i) v[r][i] = vdupq_n_s32(0);) }
    SUB8_INLINE void read(const int32_t* acc) {
        SUB8_ROWS(for (int i = 0; i < 4; ++i) v[r][i] = vld1q_s32(acc + r * kPanel + 4 * i);)
    }
    SUB8_INLINE void write(int32_t* acc) const {
        SUB8_ROWS(for (int i = 0; i < 4; ++i) vst1q_s32(acc + r * kPanel + 4 * i, v[r][i]);)
    }
    SUB8_INLINE void step(const uint8_t* a, const int8_t* w) {
        const int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16), w2 = vld1q_s8(w + 32),
                        w3 = vld1q_s8(w + 48);
        SUB8_ROWS(const int8x16_t x = vreinterpretq_s8_s32(
                      vld1q_dup_s32(reinterpret_cast<const int32_t*>(a + 4 * r)));
                  v[r][0] = vdotq_s32(v[r][0], w0, x); v[r][1] = vdotq_s32(v[r][1], w1, x);
                  v[r][2] = vdotq_s32(v[r][2], w2, x); v[r][3] = vdotq_s32(v[r][3], w3, x);)
    }
};

#include "kernels/dot.inl"

template <int rows>
SUB8_INLINE void dotruns(const TileArguments& t, const uint8_t* a, int32_t* total) {
    bool first = t.first;
    for_each_run<rows>(t, a, [&](const Tile<rows>& sum, const uint8_t* alpha) SUB8_INLINE_LAMBDA {
        for (int i = 0; i < 4; ++i) {
            // The first scale of each output's pair.
            const uint16x4_t pairs = vreinterpret_u16_u8(vld1_u8(alpha + 8 * i));
            const int32x4_t scale =
                vreinterpretq_s32_u32(vandq_u32(vmovl_u16(pairs), vdupq_n_u32(0xff)));
            for (int r = 0; r < rows; ++r) {
                int32_t* place = total + r * kPanel + 4 * i;
                const int32x4_t before = first ? vdupq_n_s32(0) : vld1q_s32(place);
                vst1q_s32(place, vmlaq_s32(before, sum.v[r][i], scale));
            }
        }
        first = false;
    });
}

}  // namespace

const TileKernels s8_s8_dot_4x16 = SUB8_TILES_4(dot);
const TileKernels s8_s8_dotruns_4x16 = SUB8_TILES_4(dotruns);

}  // namespace sub8::kernels::neon
