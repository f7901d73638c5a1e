// Described steps as steps of the executor.
#pragma once

#include <memory>
#include <vector>

#include "description/model_generated.h"
#include "executor/buffer.h"
#include "executor/step.h"
#include "isa.h"
#include "loader/program.h"

namespace sub8::loader {

// What steps refer to by number.
struct Reached {
    Isa isa;
    const Layers& layers;
    const std::vector<executor::Buffer>& constants;
};

// Throws std::invalid_argument where it cannot be run; what buffers lead to the program checks.
std::shared_ptr<const executor::Step> load_step(const description::Step& step,
                                                const Reached& reached);

}  // namespace sub8::loader
