// A layer at whatever input shape: its packed weights, and its requantisation prepared for them.
#pragma once

#include <memory>

#include "conv/input_format.h"
#include "conv/weights.h"
#include "requantize/prepare.h"

namespace sub8::conv {

class PreparedLayer {
  public:
    // Throws std::invalid_argument where the parts do not fit together.
    PreparedLayer(std::shared_ptr<const PackedWeights> weights, const InputFormat& input,
                  const requantize::Params& result);

    const PackedWeights& weights() const { return *weights_; }
    const InputFormat& input() const { return input_; }
    const StoredInput& stored() const { return stored_; }
    const requantize::Prepared& requantize() const { return requantize_; }
    // As given, where the weights kept their terms.
    const requantize::Params& result() const { return result_; }
    bool has_8_bit_result() const { return has_8_bit_result_; }
    bool has_residual() const { return has_residual_; }

  private:
    std::shared_ptr<const PackedWeights> weights_;
    InputFormat input_;
    StoredInput stored_;
    requantize::Prepared requantize_;
    requantize::Params result_;
    bool has_8_bit_result_;
    bool has_residual_;
};

}  // namespace sub8::conv
