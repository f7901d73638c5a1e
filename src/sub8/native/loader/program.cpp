#include "loader/program.h"

#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>

#include "executor/buffer.h"
#include "executor/sizes.h"
#include "loader/fields.h"
#include "loader/steps.h"

namespace sub8::loader {

constexpr std::uint64_t kLargestArena = std::uint64_t{1} << 46;

std::shared_ptr<const executor::Program> load_program(Isa isa, int threads, int parts,
                                                      const Layers& layers,
                                                      const description::Program& program) {
    executor::require(program.arena_bytes() <= kLargestArena, "the arena is too large");
    std::vector<executor::Buffer> constants;
    if (program.constants() != nullptr) {
        for (const description::Constant* constant : *program.constants()) {
            const auto& data = present(constant->data(), "a constant");
            constants.push_back(executor::Buffer::constant(data.data(), data.size()));
        }
    }
    const Reached reached{isa, layers, constants};
    std::vector<std::shared_ptr<const executor::Step>> steps;
    for (const description::Step* step : present(program.steps(), "steps")) {
        try {
            steps.push_back(load_step(*step, reached));
        } catch (const std::invalid_argument& error) {
            throw std::invalid_argument("step " + std::to_string(steps.size()) + " (" +
                                        description::EnumNameOperation(step->operation_type()) +
                                        "): " + error.what());
        }
    }
    return std::make_shared<executor::Program>(isa, threads, parts, size(program.arena_bytes()),
                                               sizes(program.input_bytes()),
                                               sizes(program.output_bytes()), std::move(steps));
}

}  // namespace sub8::loader
