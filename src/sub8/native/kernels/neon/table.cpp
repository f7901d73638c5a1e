#include "kernels/neon/kernels.h"

namespace sub8 {
namespace {

Kernels make_kernels() {
    Kernels kernels{};
    kernels.panel = neon::kPanel;
    kernels.rows = 4;
    neon::add_dot(&kernels);
    neon::add_expand(&kernels);
    neon::add_rescale(&kernels);
    kernels.gather_slots = scalar_kernels().gather_slots;
    kernels.depthwise = scalar_kernels().depthwise;
    for (int j = 0; j < kDepthwiseBlock; ++j)
        kernels.depthwise_order[j] = scalar_kernels().depthwise_order[j];
    return kernels;
}

}  // namespace

const Kernels& neon_kernels() {
    static const Kernels kernels = make_kernels();
    return kernels;
}

}  // namespace sub8
