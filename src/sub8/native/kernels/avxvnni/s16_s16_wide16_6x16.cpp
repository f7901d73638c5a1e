// int16 * int16 pairs into int32 (vpdpwssd), Winograd's products: tiles of 1-6 rows x 16 outputs
// (x86 AVX2 with VNNI).
#include "kernels/avx2/tile.h"
#include "kernels/declarations.h"
#include "kernels/tile_rows.h"
#include "kernels/tiles.h"

namespace sub8::kernels::avxvnni {
namespace {

using namespace avx2;

#define SUB8_VNNI_PREFIX "%{vex%} "
#define SUB8_VNNI_REGISTER "x"
#include "kernels/vnni.inl"

}  // namespace

const TileKernels s16_s16_wide16_6x16 = SUB8_TILES_APART_6(wide16);

}  // namespace sub8::kernels::avxvnni
