// Weights of one input channel and one output channel per group.
#pragma once

#include <vector>

#include "conv/weights.h"

namespace sub8::conv {

class DepthwiseWeights : public PackedWeights {
  public:
    struct Term {
        int left_shift;
        std::vector<int8_t> parts;     // [blocks][pairs][low, high][block, in kernel order][2 taps]
        std::vector<int16_t> factors;  // [blocks][block, in kernel order][2] = (alpha, 16 * alpha)
    };

    DepthwiseWeights(Isa isa, const WeightShape& shape, const std::vector<WeightTerm>& terms);
    std::size_t bytes() const override;
    std::vector<int8_t> unpack(std::size_t term) const override;
    bool takes_signed() const override { return false; }

    const std::vector<Term>& terms() const { return terms_; }
    int pairs() const { return (shape().kernel_h * shape().kernel_w + 1) / 2; }
    // First channels of the blocks; where the channels are no multiple of a block, the last two
    // overlap. Fewer channels than a block: one block, whose missing channels have no weights.
    const std::vector<int>& blocks() const { return blocks_; }

  private:
    std::vector<int> blocks_;
    std::vector<Term> terms_;
};

}  // namespace sub8::conv
