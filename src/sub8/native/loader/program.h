// A described program with the layers that its steps run.
#pragma once

#include <memory>
#include <vector>

#include "conv/prepared_layer.h"
#include "description/model_generated.h"
#include "executor/program.h"

namespace sub8::loader {

using Layers = std::vector<std::shared_ptr<const conv::PreparedLayer>>;

// parts: see executor::Program. Throws std::invalid_argument, naming the step, where anything does
// not fit.
std::shared_ptr<const executor::Program> load_program(Isa isa, int threads, int parts,
                                                      const Layers& layers,
                                                      const description::Program& program);

}  // namespace sub8::loader
