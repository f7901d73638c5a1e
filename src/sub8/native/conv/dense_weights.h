// Weights of convolutions in groups, including the ungrouped and the linear ones.
#pragma once

#include <vector>

#include "conv/packing.h"
#include "conv/weights.h"
#include "numeric.h"

namespace sub8::conv {

class DenseWeights : public PackedWeights {
  public:
    DenseWeights(Isa isa, const WeightShape& shape, const std::vector<WeightTerm>& terms);
    std::size_t bytes() const override;
    std::vector<int8_t> unpack(std::size_t term) const override;
    bool takes_signed() const override { return kernels().signed_activations; }

    // Coarsest term first: between two streams the accumulators are shifted left by
    // Stream::shift_after.
    const std::vector<Stream>& streams() const { return streams_; }
    // Kernel columns count as channels (few input channels, such as an image's three).
    bool folded() const { return folded_; }
    int outputs_per_group() const { return shape().outputs / shape().groups; }
    int panels_per_group() const { return int(pieces(outputs_per_group(), kernels().panel)); }

  private:
    bool folded_;
    std::vector<Stream> streams_;
};

}  // namespace sub8::conv
