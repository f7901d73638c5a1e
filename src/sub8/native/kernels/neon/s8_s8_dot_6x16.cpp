// 8-bit dot products (sdot): tiles of 1-6 rows x 16 outputs (ARMv8.2 with dot products).
//
// Both operands are signed, so unsigned activations come with their top bit flipped. 6 rows x 4
// vectors are 24 sums, beside four vectors of weights and two of activations, which sdot takes by
// element; the totals of dotruns live in memory and are visited once a run.
#include <arm_neon.h>

#include "kernels/declarations.h"
#include "kernels/tiles.h"
#include "kernels/unroll.h"

namespace sub8::kernels::neon {
namespace {

constexpr int kPanel = 16;  // four vectors of 4 outputs

// Rows that are neighbours in memory.
struct Neighbours {
    const uint8_t* at;
    SUB8_INLINE Neighbours(const TileArguments&, const uint8_t* first) : at(first) {}
    SUB8_INLINE void advance(ptrdiff_t pitch) { at += pitch; }
};

// The slots of neighbouring rows: four in `lower`, the others in `upper`.
template <int rows>
struct Slots {
    int8x16_t lower, upper;

    SUB8_INLINE explicit Slots(const uint8_t* a) : lower(some<rows>(a)), upper(lower) {
        if constexpr (rows > 4) upper = some<rows - 4>(a + 16);
    }
    template <int count>
    static SUB8_INLINE int8x16_t some(const uint8_t* a) {
        const int32_t* words = reinterpret_cast<const int32_t*>(a);
        if constexpr (count >= 4) return vreinterpretq_s8_s32(vld1q_s32(words));
        if constexpr (count == 1) return vreinterpretq_s8_s32(vld1q_dup_s32(words));
        const int32x2_t two = vld1_s32(words);
        const int32x4_t both = vcombine_s32(two, two);
        if constexpr (count == 2) return vreinterpretq_s8_s32(both);
        return vreinterpretq_s8_s32(vld1q_lane_s32(words + 2, both, 2));
    }
    template <int row>
    SUB8_INLINE int32x4_t dot(int32x4_t sum, int8x16_t w) const {
        return vdotq_laneq_s32(sum, w, row < 4 ? lower : upper, row % 4);
    }
};

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
    using Activations = Neighbours;
    SUB8_INLINE void step(const Activations& a, const int8_t* w) {
        const int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16), w2 = vld1q_s8(w + 32),
                        w3 = vld1q_s8(w + 48);
        const Slots<rows> x(a.at);
        SUB8_ROWS(
            v[r][0] = x.template dot<r>(v[r][0], w0); v[r][1] = x.template dot<r>(v[r][1], w1);
            v[r][2] = x.template dot<r>(v[r][2], w2); v[r][3] = x.template dot<r>(v[r][3], w3);)
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

const TileKernels s8_s8_dot_6x16 = SUB8_TILES_6(dot);
const TileKernels s8_s8_dotruns_6x16 = SUB8_TILES_6(dotruns);

}  // namespace sub8::kernels::neon
