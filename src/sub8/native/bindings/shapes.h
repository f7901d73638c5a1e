// Sizes as Python passes them.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "executor/border.h"

namespace sub8 {

using Size = std::pair<std::int64_t, std::int64_t>;
using BorderSizes = std::array<std::int64_t, 3>;  // batch, channels, height * width

inline BorderShape border_shape(const BorderSizes& sizes) { return {sizes[0], sizes[1], sizes[2]}; }

}  // namespace sub8
