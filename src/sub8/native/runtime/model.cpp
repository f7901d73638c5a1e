#include "runtime/model.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "executor/sizes.h"
#include "executor/workers.h"
#include "loader/fields.h"
#include "loader/layers.h"
#include "runtime/checksum.h"

namespace sub8::runtime {
namespace {

using executor::require;
using loader::present;

constexpr char kMagic[9] = "sub8.s8\n";
constexpr std::uint32_t kVersion = 2;
constexpr std::size_t kHeader = 64;

template <typename Number>
Number number_at(const std::uint8_t* data) {
    Number number = 0;
    for (std::size_t i = 0; i < sizeof number; ++i) {
        number = static_cast<Number>(number | static_cast<Number>(data[i]) << (8 * i));
    }
    return number;
}

// The description behind the header.
const description::Model& checked(const Bytes& bytes) {
    require(bytes.size() >= kHeader && std::memcmp(bytes.data(), kMagic, sizeof kMagic - 1) == 0,
            "not a compiled model; sub8 compile writes them");
    const auto version = number_at<std::uint32_t>(bytes.data() + 8);
    if (version != kVersion) {
        throw std::invalid_argument("a compiled model of version " + std::to_string(version) +
                                    ", of which this runtime knows " + std::to_string(kVersion) +
                                    "; compile it again");
    }
    require(number_at<std::uint64_t>(bytes.data() + 16) == bytes.size() - kHeader,
            "damaged: its length is not the one that it tells");
    require(number_at<std::uint32_t>(bytes.data() + 12) ==
                crc32(bytes.data() + kHeader, bytes.size() - kHeader),
            "damaged: its checksum does not fit");
    return loader::verified<description::Model>(bytes.data() + kHeader, bytes.size() - kHeader);
}

using Tensors = flatbuffers::Vector<flatbuffers::Offset<description::Tensor>>;

std::vector<Tensor> tensors(const Tensors* field) {
    std::vector<Tensor> result;
    for (const description::Tensor* tensor : present(field, "tensors")) {
        require(tensor->type() <= description::DataType_MAX, "a tensor's type is unknown");
        result.push_back(
            {loader::text(tensor->name(), "a tensor's name"), tensor->type(), {}, false});
    }
    return result;
}

std::vector<std::string> names(
    const flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>* field) {
    std::vector<std::string> result;
    for (const flatbuffers::String* name : present(field, "names")) {
        result.push_back(loader::text(name, "an operator's name"));
    }
    return result;
}

using Shapes = flatbuffers::Vector<flatbuffers::Offset<description::Shape>>;

// Shapes of tensors, whose bytes must be those that the program reads or writes.
std::vector<Shape> shapes(const Shapes* field, const std::vector<Tensor>& of,
                          const flatbuffers::Vector<std::uint64_t>* bytes, bool images_apart) {
    const Shapes& given = present(field, "shapes");
    const std::vector<std::size_t> sizes = loader::sizes(&present(bytes, "sizes of arrays"));
    require(given.size() == of.size() && sizes.size() == of.size(),
            "shapes are not those of the tensors");
    std::vector<Shape> result;
    for (unsigned i = 0; i < given.size(); ++i) {
        result.push_back(loader::numbers(given.Get(i)->sizes()));
        const Shape& shape = result.back();
        const bool empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
        const std::int64_t count = empty ? 0 : executor::checked_product(shape);
        require(sizes[i] == static_cast<std::uint64_t>(count * of[i].element_bytes()),
                "a shape is not that of its array");
        require(!images_apart || (!shape.empty() && shape[0] > 0), "a shape has no images");
    }
    return result;
}

// What all programs agree on.
void declare(const std::vector<Compiled>& programs, const std::vector<Shape> Compiled::* shapes,
             std::size_t index, Tensor* tensor) {
    tensor->sizes = (programs.front().*shapes)[index];
    bool apart = true;
    for (const Compiled& program : programs) {
        const Shape& own = (program.*shapes)[index];
        apart = apart && program.description->images_apart();
        if (own.size() != tensor->sizes.size()) {
            tensor->any_rank = true;
            tensor->sizes.clear();
            return;
        }
        for (std::size_t axis = 0; axis < own.size(); ++axis) {
            if (own[axis] != tensor->sizes[axis]) tensor->sizes[axis] = kAnySize;
        }
    }
    if (apart) tensor->sizes[0] = kAnySize;
}

}  // namespace

Model::Model(std::unique_ptr<const Bytes> bytes)
    : bytes_(std::move(bytes)),
      root_(&checked(*bytes_)),
      inputs_(tensors(root_->inputs())),
      outputs_(tensors(root_->outputs())) {
    const auto& weights = present(root_->weights(), "weights");
    const auto& layers = present(root_->layers(), "layers");
    for (const description::Layer* layer : layers) {
        require(layer->weights() < weights.size(), "a layer's weights are missing");
    }
    for (const description::CompiledProgram* compiled : present(root_->programs(), "programs")) {
        const description::Program& program = present(compiled->program(), "a program");
        const bool apart = compiled->images_apart();
        const std::size_t steps = present(program.steps(), "steps").size();
        const auto operators = names(compiled->operators()), kinds = names(compiled->kinds());
        require(operators.size() == steps && kinds.size() == steps,
                "names are not those of the steps");
        programs_.push_back({shapes(compiled->inputs(), inputs_, program.input_bytes(), apart),
                             shapes(compiled->outputs(), outputs_, program.output_bytes(), apart),
                             operators, kinds, compiled});
        for (const std::uint32_t layer : present(compiled->layers(), "layers")) {
            require(layer < layers.size(), "a program's layer is missing");
        }
    }
    require(!programs_.empty(), "a model without programs");
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
        declare(programs_, &Compiled::inputs, i, &inputs_[i]);
    }
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
        declare(programs_, &Compiled::outputs, i, &outputs_[i]);
    }
}

std::shared_ptr<const Model> Model::open(const std::string& path) {
    std::unique_ptr<const Bytes> bytes = Bytes::of_file(path);
    try {
        return std::shared_ptr<const Model>(new Model(std::move(bytes)));
    } catch (const std::invalid_argument& error) {
        throw std::invalid_argument(path + ": " + error.what());
    }
}

std::shared_ptr<const Model> Model::of_memory(const void* data, std::size_t size) {
    return std::shared_ptr<const Model>(new Model(Bytes::copy(data, size)));
}

std::shared_ptr<const loader::Layers> Model::layers(Isa isa, int threads) const {
    {
        const std::lock_guard<std::mutex> lock(executor::process_mutex());
        if (auto found = shared_[isa].lock()) return found;
    }
    auto made = std::make_shared<const loader::Layers>(packed(isa, threads));
    const std::lock_guard<std::mutex> lock(executor::process_mutex());
    shared_[isa] = made;
    return made;
}

loader::Layers Model::packed(Isa isa, int threads) const {
    const auto& weights = *root_->weights();
    const auto& layers = *root_->layers();
    std::vector<std::shared_ptr<const conv::PackedWeights>> packed(weights.size());
    std::vector<std::exception_ptr> errors(weights.size());
    const auto pack = [&](unsigned number) {
        try {
            const description::Weights& given = *weights.Get(number);
            packed[number] = loader::load_weights(isa, given);
            for (const description::WeightTerm* term : *given.terms()) {
                bytes_->release(term->codes()->data(), term->codes()->size());
            }
        } catch (...) {
            errors[number] = std::current_exception();
        }
    };
    executor::Workers workers(threads);
    if (workers.available()) {
        workers.execute([&] {
            executor::for_each(static_cast<int>(weights.size()),
                               [&](int number) { pack(static_cast<unsigned>(number)); });
        });
    } else {
        for (unsigned i = 0; i < weights.size(); ++i) pack(i);
    }
    for (const std::exception_ptr& error : errors) {
        if (error) std::rethrow_exception(error);
    }
    loader::Layers result;
    for (const description::Layer* layer : layers) {
        result.push_back(loader::load_layer(packed[layer->weights()], *layer));
    }
    return result;
}

}  // namespace sub8::runtime
