// A compiled model: the file `.s8`, as `sub8 compile` writes it.
//
// A header of 64 bytes: "sub8.s8\n", the version (uint32), the CRC-32 of what follows (uint32), its
// length (uint64), in a cache of Python's the key of its source (32 bytes), zeros. Then
// FlatBuffers' description::Model. Numbers are little-endian, blobs aligned to 64 bytes of the
// file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "description/model_generated.h"
#include "isa.h"
#include "loader/program.h"
#include "runtime/bytes.h"

namespace sub8::runtime {

using Shape = std::vector<std::int64_t>;

constexpr std::int64_t kAnySize = -1;

struct Tensor {
    std::string name;
    description::DataType type;
    // Of all programs; kAnySize where they differ, or where any number of images runs.
    Shape sizes;
    bool any_rank;  // whether programs differ in their numbers of axes, sizes is empty then

    std::int64_t element_bytes() const { return type == description::DataType_float32 ? 4 : 1; }
};

// A program that the file holds.
struct Compiled {
    std::vector<Shape> inputs, outputs;
    // Of each step the operator that it belongs to, and what that is.
    std::vector<std::string> operators, kinds;
    const description::CompiledProgram* description;
};

// Immutable, but for what it shares among sessions.
class Model {
  public:
    // All throw std::invalid_argument where it is no model, damaged, or of another version.
    static std::shared_ptr<const Model> open(const std::string& path);
    static std::shared_ptr<const Model> of_memory(const void* data, std::size_t size);

    const std::vector<Tensor>& inputs() const { return inputs_; }
    const std::vector<Tensor>& outputs() const { return outputs_; }
    const std::vector<Compiled>& programs() const { return programs_; }

    // All layers, packed for an instruction set; those of sessions that are there are shared.
    std::shared_ptr<const loader::Layers> layers(Isa isa, int threads) const;

  private:
    explicit Model(std::unique_ptr<const Bytes> bytes);
    loader::Layers packed(Isa isa, int threads) const;

    std::unique_ptr<const Bytes> bytes_;
    const description::Model* root_ = nullptr;
    std::vector<Tensor> inputs_, outputs_;
    std::vector<Compiled> programs_;
    mutable std::map<Isa, std::weak_ptr<const loader::Layers>> shared_;  // under process_mutex()
};

}  // namespace sub8::runtime
