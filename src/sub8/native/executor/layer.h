// A convolution or linear layer as a step.
#pragma once

#include <memory>
#include <optional>

#include "conv/convolution.h"
#include "executor/step.h"

namespace sub8::executor {

class Layer : public Step {
  public:
    Layer(std::shared_ptr<const conv::PreparedLayer> layer, const conv::ConvGeometry& geometry,
          const Buffer& input, const std::optional<Buffer>& residual, const Buffer& output);
    void run(const Frame& frame, const Worker& worker) const override;
    int shares(int threads) const override;
    std::size_t scratch_bytes(int threads) const override;

  private:
    std::unique_ptr<const conv::Convolution> convolution_;
    Buffer input_;
    std::optional<Buffer> residual_;
    Buffer output_;
};

}  // namespace sub8::executor
