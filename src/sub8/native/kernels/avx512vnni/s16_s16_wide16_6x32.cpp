// int16 * int16 pairs into int32 (vpdpwssd), Winograd's products: tiles of 1-6 rows x 32 outputs
// (x86 AVX-512 with VNNI).
#include "kernels/avx512vnni/vectors.h"
#include "kernels/declarations.h"
#include "kernels/tiles.h"

namespace sub8::kernels::avx512vnni {
namespace {

#define SUB8_VNNI_PREFIX ""
#define SUB8_VNNI_REGISTER "v"
#include "kernels/vnni.inl"

}  // namespace

const TileKernels s16_s16_wide16_6x32 = SUB8_TILES_6(wide16);

}  // namespace sub8::kernels::avx512vnni
