#include "runtime/session.h"

#include <algorithm>
#include <climits>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

#include "executor/fork.h"
#include "executor/sizes.h"
#include "loader/fields.h"

namespace sub8::runtime {
namespace {

constexpr std::size_t kKeptPrograms = 8;  // packed weights are shared by all

// How many times the images that a program was compiled for these shapes hold; 0: not its shapes.
int parts_of(const std::vector<Shape>& given, const Compiled& compiled) {
    if (given.size() != compiled.inputs.size()) return 0;
    const bool apart = compiled.description->images_apart();
    std::int64_t parts = 1;
    for (std::size_t i = 0; i < given.size(); ++i) {
        const Shape &got = given[i], &want = compiled.inputs[i];
        const std::size_t fixed = apart ? 1 : 0;
        if (got.size() != want.size() ||
            !std::equal(got.begin() + fixed, got.end(), want.begin() + fixed)) {
            return 0;
        }
        if (!apart) continue;
        const std::int64_t times = got[0] / want[0];
        if (times < 1 || times > INT_MAX || got[0] % want[0] != 0) return 0;
        if (i > 0 && times != parts) return 0;
        parts = times;
    }
    return static_cast<int>(parts);
}

std::string text(const Shape& shape, bool apart) {
    std::string sizes;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        sizes += axis == 0 ? "" : ", ";
        if (apart && axis == 0) sizes += shape[0] == 1 ? "any" : "multiples of ";
        if (!apart || axis > 0 || shape[0] != 1) sizes += std::to_string(shape[axis]);
    }
    return "[" + sizes + "]";
}

std::string text(const std::vector<Shape>& shapes, bool apart) {
    std::string all;
    for (const Shape& shape : shapes) all += (all.empty() ? "" : " and ") + text(shape, apart);
    return all;
}

}  // namespace

Session::Session(std::shared_ptr<const Model> model, Isa isa, int threads)
    : model_(std::move(model)),
      isa_(isa),
      threads_(threads),
      layers_(model_->layers(isa, threads)) {
    // What is wrong with a program is told now.
    for (std::size_t number = 0; number < model_->programs().size(); ++number) program(number, 1);
}

Ready Session::ready(const std::vector<Shape>& inputs) const {
    for (std::size_t number = 0; number < model_->programs().size(); ++number) {
        const Compiled& compiled = model_->programs()[number];
        const int parts = parts_of(inputs, compiled);
        if (parts == 0) continue;
        Ready ready{program(number, parts), number, compiled.outputs};
        for (Shape& shape : ready.outputs) {
            if (parts > 1) shape[0] = executor::checked_product({shape[0], parts});
        }
        return ready;
    }
    std::string known;
    for (const Compiled& compiled : model_->programs()) {
        known += (known.empty() ? "" : "; ") +
                 text(compiled.inputs, compiled.description->images_apart());
    }
    throw std::invalid_argument("not compiled for inputs of shape " + text(inputs, false) +
                                "; it takes " + known);
}

std::shared_ptr<const executor::Program> Session::program(std::size_t number, int parts) const {
    {
        const std::lock_guard<std::mutex> lock(executor::process_mutex());
        const auto found = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) {
            return kept.number == number && kept.parts == parts;
        });
        if (found != kept_.end()) {
            std::rotate(found, found + 1, kept_.end());
            return kept_.back().program;
        }
    }
    const description::CompiledProgram& compiled = *model_->programs()[number].description;
    loader::Layers layers;
    for (const std::uint32_t layer : *compiled.layers()) layers.push_back((*layers_)[layer]);
    auto made = loader::load_program(isa_, threads_, parts, layers, *compiled.program());
    std::shared_ptr<const executor::Program> dropped;  // freed without the lock
    const std::lock_guard<std::mutex> lock(executor::process_mutex());
    kept_.push_back({number, parts, made});
    if (kept_.size() > kKeptPrograms) {
        dropped = std::move(kept_.front().program);
        kept_.erase(kept_.begin());
    }
    return made;
}

}  // namespace sub8::runtime
