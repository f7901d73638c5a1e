#include "kernels/avx2/kernels.h"

namespace sub8 {
namespace {

Kernels make_kernels() {
    Kernels kernels{};
    kernels.panel = 16;
    kernels.rows = 6;
    avx2::add_runs16(&kernels);
    avx2::add_runs16_two(&kernels);
    avx2::add_wide16(&kernels);
    avx2::add_rows(&kernels);
    avx2::add_expand(&kernels);
    avx2::add_rescale(&kernels);
    avx2::add_gather(&kernels);
    avx2::add_depthwise(&kernels);
    avx2::add_winograd(&kernels);
    return kernels;
}

}  // namespace

const Kernels& avx2_kernels() {
    static const Kernels kernels = make_kernels();
    return kernels;
}

}  // namespace sub8
