#include "kernels/avx2/kernels.h"
#include "kernels/avx512vnni/kernels.h"

namespace sub8 {
namespace {

// Everything but the products is the AVX2 kernels', which such a CPU also runs.
Kernels make_kernels() {
    Kernels kernels{};
    kernels.panel = 32;
    kernels.rows = 6;
    avx512vnni::add_dot(&kernels);
    avx512vnni::add_expand(&kernels);
    avx2::add_rescale(&kernels);
    avx2::add_gather(&kernels);
    avx2::add_depthwise(&kernels);
    return kernels;
}

}  // namespace

const Kernels& avx512vnni_kernels() {
    static const Kernels kernels = make_kernels();
    return kernels;
}

}  // namespace sub8
