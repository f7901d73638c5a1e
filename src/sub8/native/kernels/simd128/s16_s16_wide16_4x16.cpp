// int16 * int16 pairs into int32 (i32x4.dot_i16x8_s): tiles of 1-4 rows x 16 outputs (WebAssembly).
#include <wasm_simd128.h>

#include "kernels/declarations.h"
#include "kernels/tiles.h"
#include "kernels/unroll.h"

namespace sub8::kernels::simd128 {
namespace {

constexpr int kPanel = 16;  // four vectors of 4 outputs

template <int rows>
SUB8_INLINE void wide16(const TileArguments& t, const uint8_t* a, int32_t* total) {
    const int16_t* w = static_cast<const int16_t*>(t.weights);
    v128_t acc[rows][4];
    SUB8_ROWS(for (int i = 0; i < 4; ++i) acc[r][i] =
                  t.first ? wasm_i32x4_const_splat(0) : wasm_v128_load(total + r * kPanel + 4 * i);)
    for (int step = 0; step < t.steps; ++step, a += t.pitch, w += 2 * kPanel) {
        const v128_t w0 = wasm_v128_load(w), w1 = wasm_v128_load(w + 8),
                     w2 = wasm_v128_load(w + 16), w3 = wasm_v128_load(w + 24);
        SUB8_ROWS(const v128_t x = wasm_v128_load32_splat(a + 4 * r);
                  acc[r][0] = wasm_i32x4_add(acc[r][0], wasm_i32x4_dot_i16x8(w0, x));
                  acc[r][1] = wasm_i32x4_add(acc[r][1], wasm_i32x4_dot_i16x8(w1, x));
                  acc[r][2] = wasm_i32x4_add(acc[r][2], wasm_i32x4_dot_i16x8(w2, x));
                  acc[r][3] = wasm_i32x4_add(acc[r][3], wasm_i32x4_dot_i16x8(w3, x));)
    }
    SUB8_ROWS(for (int i = 0; i < 4; ++i) wasm_v128_store(total + r * kPanel + 4 * i, acc[r][i]);)
}

}  // namespace

const TileKernels s16_s16_wide16_4x16 = SUB8_TILES_4(wide16);

}  // namespace sub8::kernels::simd128
