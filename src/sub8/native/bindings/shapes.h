// Sizes as Python passes them.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "executor/quantize.h"

namespace sub8::bindings {

using Size = std::pair<std::int64_t, std::int64_t>;
using PlanarSizes = std::array<std::int64_t, 3>;  // batch, channels, height * width

inline executor::PlanarShape planar_shape(const PlanarSizes& sizes) {
    return {sizes[0], sizes[1], sizes[2]};
}

}  // namespace sub8::bindings
