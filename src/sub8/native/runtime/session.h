// A compiled model made ready for an instruction set and a number of threads.
#pragma once

#include <memory>
#include <vector>

#include "executor/program.h"
#include "runtime/model.h"

namespace sub8::runtime {

// A program for inputs of certain shapes. number: of those that the model holds.
struct Ready {
    std::shared_ptr<const executor::Program> program;
    std::size_t number;
    std::vector<Shape> outputs;
};

// Safe from many threads.
class Session {
  public:
    // Throws std::invalid_argument where the model's layers are not what they must be.
    Session(std::shared_ptr<const Model> model, Isa isa, int threads);

    // Throws std::invalid_argument where the model has no program for these shapes.
    Ready ready(const std::vector<Shape>& inputs) const;

    const Model& model() const { return *model_; }
    Isa isa() const { return isa_; }
    int threads() const { return threads_; }

  private:
    struct Kept {
        std::size_t number;
        int parts;
        std::shared_ptr<const executor::Program> program;
    };
    std::shared_ptr<const executor::Program> program(std::size_t number, int parts) const;

    std::shared_ptr<const Model> model_;
    Isa isa_;
    int threads_;
    std::shared_ptr<const loader::Layers> layers_;
    mutable std::vector<Kept> kept_;  // the one used last at the end; under process_mutex()
};

}  // namespace sub8::runtime
