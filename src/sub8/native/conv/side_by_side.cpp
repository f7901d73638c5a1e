#include "conv/side_by_side.h"

#include <algorithm>
#include <vector>

#include "conv/select.h"

namespace sub8::conv {
namespace {

template <typename T>
std::vector<T> repeated(const std::vector<T>& values, std::size_t outputs, int count) {
    if (values.size() < outputs || values.empty()) return values;  // the same for all outputs
    std::vector<T> all;
    for (int i = 0; i < count; ++i) all.insert(all.end(), values.begin(), values.end());
    return all;
}

requantize::Params repeated(requantize::Params params, std::size_t outputs, int count) {
    if (auto* to = std::get_if<requantize::To8Bit>(&params)) {
        to->multiplier = repeated(to->multiplier, outputs, count);
        to->offset = repeated(to->offset, outputs, count);
        const bool of_each = to->table.size() != kernels::kEntries;
        if (of_each) to->table = repeated(to->table, outputs, count);
    } else if (auto* real = std::get_if<requantize::ToFloat>(&params)) {
        real->offset = repeated(real->offset, outputs, count);
        real->scale = repeated(real->scale, outputs, count);
    }
    return params;
}

std::shared_ptr<const PackedWeights> widened(const PackedWeights& weights, int count, int stride) {
    const WeightShape& from = weights.shape();
    WeightShape shape = from;
    shape.outputs *= count;
    shape.kernel_w = columns_side_by_side(from, count, stride);
    const std::int64_t rows = std::int64_t(from.outputs) * from.inputs * from.kernel_h;
    std::vector<std::vector<std::uint8_t>> codes, alphas;  // which terms refer to
    std::vector<WeightTerm> terms;
    const std::vector<KeptTerm>& kept = weights.kept_terms();
    for (std::size_t number = 0; number < kept.size(); ++number) {
        const KeptTerm& term = kept[number];
        const std::vector<std::int8_t> values = weights.unpack(number);
        std::vector<std::int8_t> wide(std::size_t(rows * count * shape.kernel_w), 0);
        for (int place = 0; place < count; ++place) {
            for (std::int64_t row = 0; row < rows; ++row) {
                std::copy_n(values.data() + row * from.kernel_w, from.kernel_w,
                            wide.data() + (place * rows + row) * shape.kernel_w + place * stride);
            }
        }
        codes.push_back(weights::encoded(*term.format, wide));
        alphas.push_back(repeated(term.alpha, term.alpha.size(), count));
        terms.push_back(
            {weights::Codes(*term.format, codes.back().data(), std::int64_t(wide.size())),
             term.cluster, term.left_shift, alphas.back().data()});
    }
    return PackedWeights::pack(weights.isa(), shape, terms);
}

}  // namespace

std::pair<std::shared_ptr<const PreparedLayer>, ConvGeometry> side_by_side(
    std::shared_ptr<const PreparedLayer> layer, const ConvGeometry& geometry) {
    const auto* weights = dynamic_cast<const DenseWeights*>(&layer->weights());
    if (weights == nullptr || weights->kept_terms().empty() || geometry.dilation_w != 1)
        return {std::move(layer), geometry};
    const int count = count_side_by_side(*weights, geometry);
    if (count == 1) return {std::move(layer), geometry};
    ConvGeometry wider = geometry;
    wider.out_w /= count;
    wider.stride_w *= count;
    auto found = std::make_shared<PreparedLayer>(
        widened(*weights, count, geometry.stride_w), layer->input(),
        repeated(layer->result(), std::size_t(weights->shape().outputs), count));
    return {std::move(found), wider};
}

}  // namespace sub8::conv
