// Packed weights of one convolution or linear layer: immutable, shared by every input shape.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "isa.h"
#include "kernels/kernels.h"
#include "weights/codes.h"

namespace sub8::conv {

// One of the terms whose sum is the layer's weight: alpha[o, i / cluster] * values[o, i, ...] *
// 2**left_shift.
struct WeightTerm {
    weights::Codes values;  // [outputs, inputs, kernel_h, kernel_w], row-major
    int cluster;            // N: input channels (of one group) per scale, 1..inputs
    int left_shift;         // >= 0, from the term's exponent down to the finest of the layer
    const uint8_t* alpha;   // [outputs, ceil(inputs / cluster)]
};

// A term without its values.
struct KeptTerm {
    const weights::Format* format;
    int cluster;
    int left_shift;
    std::vector<uint8_t> alpha;
};

struct WeightShape {
    int outputs;  // of all groups
    int inputs;   // of one group
    int kernel_h = 1;
    int kernel_w = 1;
    int groups = 1;
};

// Weights in the layout of one instruction set's kernels. Ternary weights stay 2 bits and int4
// weights 4 bits wide in memory; panels of them are expanded into cache while the layer runs.
class PackedWeights {
  public:
    virtual ~PackedWeights() = default;

    // Throws std::invalid_argument where a value, a scale or a shape is out of range, or where an
    // accumulator could leave int32 for some input.
    static std::shared_ptr<const PackedWeights> pack(Isa isa, const WeightShape& shape,
                                                     const std::vector<WeightTerm>& terms);

    Isa isa() const { return isa_; }
    const kernels::KernelSet& kernels() const { return kernels_; }
    // Whether its kernels take activations as int8, not uint8.
    virtual bool takes_signed() const = 0;
    const WeightShape& shape() const { return shape_; }
    // Memory held, in bytes.
    virtual std::size_t bytes() const = 0;
    // The integers of one term, [outputs, inputs, kernel_h, kernel_w], back from the packed form.
    // Terms are in packed order: by falling left_shift, otherwise as they were given.
    virtual std::vector<int8_t> unpack(std::size_t term) const = 0;
    // Sum over a group's inputs and the kernel of the integer weights, per output: what one unit
    // added to every input (and to the padding) adds to the accumulator.
    const std::vector<int64_t>& sums() const { return sums_; }
    // 255 * sum of magnitudes, per output: no accumulator or partial sum is larger.
    const std::vector<int64_t>& bounds() const { return bounds_; }
    // Of a layer with lanes for several times its outputs, what the terms had besides their values,
    // in packed order; else none.
    const std::vector<KeptTerm>& kept_terms() const { return kept_terms_; }

  protected:
    PackedWeights(Isa isa, const WeightShape& shape, const std::vector<WeightTerm>& terms);

  private:
    Isa isa_;
    const kernels::KernelSet& kernels_;
    WeightShape shape_;
    std::vector<int64_t> sums_;
    std::vector<int64_t> bounds_;
    std::vector<KeptTerm> kept_terms_;
};

}  // namespace sub8::conv
