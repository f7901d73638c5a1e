#include "executor/layer.h"

#include <utility>

#include "executor/sizes.h"

namespace sub8 {

Layer::Layer(std::shared_ptr<const PackedWeights> weights, const ConvGeometry& geometry,
             const InputFormat& format, Epilogue epilogue, const Buffer& input,
             const std::optional<Buffer>& residual, const Buffer& output)
    : input_(input), residual_(residual), output_(output) {
    require(weights != nullptr, "a layer needs weights");
    const WeightShape shape = weights->shape();
    const bool bytes = std::holds_alternative<Rescale>(epilogue);
    const bool adds = bytes && std::get<Rescale>(epilogue).has_residual;
    require(adds == residual.has_value(), "a residual is declared but missing, or not declared");
    const std::int64_t outputs =
        checked_product({geometry.batch, geometry.out_h, geometry.out_w, shape.outputs});
    reading(input, checked_product(
                       {geometry.batch, geometry.in_h, geometry.in_w, shape.inputs, shape.groups}));
    if (residual) reading(*residual, outputs);
    writing(output, bytes ? outputs : 4 * outputs);
    convolution_ = Convolution::create(std::move(weights), geometry, format, std::move(epilogue));
}

int Layer::shares(int threads) const { return convolution_->shares(threads); }

std::size_t Layer::scratch_bytes(int threads) const { return convolution_->scratch_bytes(threads); }

void Layer::run(const Frame& frame, const Worker& worker) const {
    convolution_->run(input_.read(frame), residual_ ? residual_->read(frame) : nullptr,
                      output_.write(frame), worker.scratch, worker.share, worker.shares,
                      worker.again);
}

}  // namespace sub8
