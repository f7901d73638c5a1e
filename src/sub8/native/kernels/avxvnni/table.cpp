#include "kernels/avx2/kernels.h"
#include "kernels/avxvnni/kernels.h"

namespace sub8 {
namespace {

// Everything but the products is the AVX2 kernels'.
Kernels make_kernels() {
    Kernels kernels{};
    kernels.panel = 16;
    kernels.rows = 6;
    avxvnni::add_dot(&kernels);
    avx2::add_expand(&kernels);
    avx2::add_rescale(&kernels);
    avx2::add_gather(&kernels);
    avx2::add_depthwise(&kernels);
    return kernels;
}

}  // namespace

const Kernels& avxvnni_kernels() {
    static const Kernels kernels = make_kernels();
    return kernels;
}

}  // namespace sub8
