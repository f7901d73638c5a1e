#include "conv/dense_weights.h"

#include <algorithm>

namespace sub8::conv {
namespace {

bool can_fold(const WeightShape& shape, const std::vector<WeightTerm>& terms) {
    return shape.groups == 1 && shape.kernel_w > 1 && shape.inputs < 4 &&
           std::all_of(
               terms.begin(), terms.end(),
               [&](const WeightTerm& term) { return term.cluster == shape.inputs; });
}

}  // namespace

DenseWeights::DenseWeights(Isa isa, const WeightShape& shape, const std::vector<WeightTerm>& terms)
    : PackedWeights(isa, shape, terms), folded_(can_fold(shape, terms)) {
    for (std::size_t i = 0; i < terms.size(); ++i) {
        const int next = i + 1 < terms.size() ? terms[i + 1].left_shift : 0;
        streams_.push_back(make_stream(kernels(), shape, terms[i], folded_, panels_per_group()));
        streams_.back().shift_after = terms[i].left_shift - next;
    }
}

std::size_t DenseWeights::bytes() const {
    std::size_t total = 0;
    for (const Stream& stream : streams_) total += stream.codes.size() + stream.alpha.size();
    return total;
}

std::vector<int8_t> DenseWeights::unpack(std::size_t term) const {
    return unpack_stream(kernels(), shape(), streams_.at(term), folded_);
}

}  // namespace sub8::conv
