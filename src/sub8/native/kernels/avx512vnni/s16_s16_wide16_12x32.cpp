// int16 * int16 pairs into int32 (vpdpwssd), Winograd's products: tiles of 1-12 rows x 32 outputs
// (x86 AVX-512 with VNNI).
#include "kernels/avx512vnni/vectors.h"
#include "kernels/declarations.h"
#include "kernels/tile_rows.h"
#include "kernels/tiles.h"

namespace sub8::kernels::avx512vnni {
namespace {

#define SUB8_VNNI_PREFIX ""
#define SUB8_VNNI_REGISTER "v"
#include "kernels/vnni.inl"

}  // namespace

const TileKernels s16_s16_wide16_12x32 = SUB8_TILES_APART_12(wide16);

}  // namespace sub8::kernels::avx512vnni
