// The two kinds of layers behind PackedWeights and Convolution.
#pragma once

#include <memory>
#include <vector>

#include "conv/convolution.h"
#include "conv/packing.h"

namespace sub8 {

// Convolutions in groups, including the ungrouped and the linear ones.
class DenseWeights : public PackedWeights {
  public:
    DenseWeights(Isa isa, const WeightShape& shape, const std::vector<WeightTerm>& terms);
    std::size_t bytes() const override;
    std::vector<int8_t> unpack(std::size_t term) const override;

    const Kernels& kernels() const { return kernels_; }
    // Coarsest term first: between two streams the accumulators are shifted left by
    // Stream::shift_after.
    const std::vector<Stream>& streams() const { return streams_; }
    // Kernel columns count as channels (few input channels, such as an image's three).
    bool folded() const { return folded_; }
    int outputs_per_group() const { return shape().outputs / shape().groups; }
    int panels_per_group() const {
        return (outputs_per_group() + kernels_.panel - 1) / kernels_.panel;
    }

  private:
    const Kernels& kernels_;
    bool folded_;
    std::vector<Stream> streams_;
};

// One input channel and one output channel per group.
class DepthwiseWeights : public PackedWeights {
  public:
    struct Term {
        int left_shift;
        std::vector<int8_t> parts;  // [blocks][pairs][low, high][block, in depthwise_order][2 taps]
        std::vector<int16_t>
            factors;  // [blocks][block, in depthwise_order][2] = (alpha, 16 * alpha)
    };

    DepthwiseWeights(Isa isa, const WeightShape& shape, const std::vector<WeightTerm>& terms);
    std::size_t bytes() const override;
    std::vector<int8_t> unpack(std::size_t term) const override;

    const Kernels& kernels() const { return kernels_; }
    const std::vector<Term>& terms() const { return terms_; }
    int pairs() const { return (shape().kernel_h * shape().kernel_w + 1) / 2; }
    // First channels of the blocks; where the channels are no multiple of a block, the last two
    // overlap. Fewer channels than a block: one block, whose missing channels have no weights.
    const std::vector<int>& blocks() const { return blocks_; }

  private:
    const Kernels& kernels_;
    std::vector<int> blocks_;
    std::vector<Term> terms_;
};

std::unique_ptr<const Convolution> make_dense(std::shared_ptr<const DenseWeights> weights,
                                              const ConvGeometry& geometry,
                                              const InputFormat& input, const Epilogue& epilogue);
// With fewer multiplications (conv/winograd.h): a 3x3 layer of stride 1, and a 7x7 one of stride 2
// over an image. Null where the layer is none, or `make_dense` is faster.
std::unique_ptr<const Convolution> make_winograd_3x3(std::shared_ptr<const DenseWeights> weights,
                                                     const ConvGeometry& geometry,
                                                     const InputFormat& input,
                                                     const Epilogue& epilogue);
std::unique_ptr<const Convolution> make_winograd_stem(std::shared_ptr<const DenseWeights> weights,
                                                      const ConvGeometry& geometry,
                                                      const InputFormat& input,
                                                      const Epilogue& epilogue);
std::unique_ptr<const Convolution> make_depthwise(std::shared_ptr<const DepthwiseWeights> weights,
                                                  const ConvGeometry& geometry,
                                                  const InputFormat& input,
                                                  const Epilogue& epilogue);

}  // namespace sub8
