#include "loader/layers.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "executor/sizes.h"
#include "loader/fields.h"
#include "numeric.h"
#include "weights/format.h"

namespace sub8::loader {
namespace {

using executor::checked_product;
using executor::require;

}  // namespace

std::shared_ptr<const conv::PackedWeights> load_weights(Isa isa,
                                                        const description::Weights& weights) {
    const conv::WeightShape shape{weights.outputs(), weights.inputs(), weights.kernel_h(),
                                  weights.kernel_w(), weights.groups()};
    const std::int64_t count =
        checked_product({shape.outputs, shape.inputs, shape.kernel_h, shape.kernel_w});
    std::vector<conv::WeightTerm> terms;
    for (const description::WeightTerm* term : present(weights.terms(), "terms of weights")) {
        require(term->format() < weights::kFormats, "a format of weights is unknown");
        const weights::Format& format = weights::kFormatTable[term->format()];
        require(term->cluster() >= 1 && term->cluster() <= shape.inputs,
                "a cluster lies outside of 1..inputs");
        const auto& alpha = present(term->alpha(), "scales of weights");
        const auto& codes = present(term->codes(), "codes of weights");
        require(alpha.size() ==
                        checked_product({shape.outputs, pieces(shape.inputs, term->cluster())}) &&
                    codes.size() == pieces(count, format.codes_per_byte()),
                "weights: shapes of values and alpha do not fit together");
        terms.push_back({weights::Codes(format, codes.data(), count), term->cluster(),
                         term->left_shift(), alpha.data()});
    }
    return conv::PackedWeights::pack(isa, shape, terms);
}

std::shared_ptr<const conv::PreparedLayer> load_layer(
    std::shared_ptr<const conv::PackedWeights> weights, const description::Layer& layer) {
    return std::make_shared<conv::PreparedLayer>(
        std::move(weights), conv::InputFormat{layer.is_signed(), layer.zero_point()},
        load_result(layer.result_type(), layer.result()));
}

requantize::Params load_result(description::Result type, const void* value) {
    present(static_cast<const std::uint8_t*>(value), "what becomes of an accumulator");
    switch (type) {
        case description::Result_To8Bit: {
            const auto& to = *static_cast<const description::To8Bit*>(value);
            return requantize::To8Bit{numbers(to.multiplier()),
                                      numbers(to.offset()),
                                      to.residual_multiplier(),
                                      to.shift(),
                                      to.zero_point(),
                                      to.low(),
                                      to.high(),
                                      to.has_residual(),
                                      to.residual_signed(),
                                      numbers(to.table())};
        }
        case description::Result_ToFloat: {
            const auto& to = *static_cast<const description::ToFloat*>(value);
            return requantize::ToFloat{to.multiplier(), numbers(to.offset()), numbers(to.scale())};
        }
        case description::Result_RawAccumulators:
            return requantize::RawAccumulators{};
        default:
            throw std::invalid_argument("what becomes of an accumulator is unknown");
    }
}

}  // namespace sub8::loader
