// Weights of one input channel and one output channel per group.
#pragma once

#include <vector>

#include "conv/weights.h"
#include "memory.h"

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

    // For KernelSet::depthwise_lines.
    struct LineBlock {
        int first;  // channel
        int channels;
        int lines;            // at once
        std::size_t weights;  // where its begin
    };

    const std::vector<Term>& terms() const { return terms_; }
    int pairs() const { return (shape().kernel_h * shape().kernel_w + 1) / 2; }
    // First channels of the blocks; where the channels are no multiple of a block, the last two
    // overlap. Fewer channels than a block: one block, whose missing channels have no weights.
    const std::vector<int>& blocks() const { return blocks_; }

    // The same channels in blocks of lines; empty where no kernel takes these weights so.
    const std::vector<LineBlock>& line_blocks() const { return line_blocks_; }
    const int8_t* line_weights(const LineBlock& block) const {
        return line_weights_.data() + block.weights;
    }
    // The channel in a place of the kernels' sums.
    int line_channel(const LineBlock& block, int place) const;
    // [channels], of the one term of lines, its left_shift included.
    const std::vector<int32_t>& line_scales() const { return line_scales_; }

  private:
    void pack_lines(const WeightTerm& term);

    std::vector<LineBlock> line_blocks_;
    std::vector<int8_t, AlignedAllocator<int8_t>> line_weights_;
    std::vector<int32_t> line_scales_;
    std::vector<int> blocks_;
    std::vector<Term> terms_;
};

}  // namespace sub8::conv
