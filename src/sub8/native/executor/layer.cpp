#include "executor/layer.h"

#include <utility>

#include "executor/sizes.h"

namespace sub8::executor {

Layer::Layer(std::shared_ptr<const conv::PreparedLayer> layer, const conv::ConvGeometry& geometry,
             const Buffer& input, const std::optional<Buffer>& residual, const Buffer& output)
    : input_(input), residual_(residual), output_(output) {
    require(layer != nullptr, "a step needs a layer");
    const conv::WeightShape& shape = layer->weights().shape();
    require(layer->has_residual() == residual.has_value(),
            "a residual is declared but missing, or not declared");
    const std::int64_t outputs =
        checked_product({geometry.batch, geometry.out_h, geometry.out_w, shape.outputs});
    reading(input, checked_product(
                       {geometry.batch, geometry.in_h, geometry.in_w, shape.inputs, shape.groups}));
    if (residual) reading(*residual, outputs);
    writing(output, layer->has_8_bit_result() ? outputs : 4 * outputs);
    convolution_ = conv::Convolution::create(std::move(layer), geometry);
}

int Layer::shares(int threads) const { return convolution_->shares(threads); }

std::size_t Layer::scratch_bytes(int threads) const { return convolution_->scratch_bytes(threads); }

void Layer::run(const Frame& frame, const Worker& worker) const {
    convolution_->run(input_.read(frame), residual_ ? residual_->read(frame) : nullptr,
                      output_.write(frame), worker.scratch, worker.share, worker.shares,
                      worker.again);
}

}  // namespace sub8::executor
