#include "conv/weights.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "conv/dense_weights.h"
#include "conv/depthwise_weights.h"
#include "kernels/catalogue.h"
#include "numeric.h"

namespace sub8::conv {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument("weights: " + what); }

void check(const WeightShape& shape, const std::vector<WeightTerm>& terms) {
    if (shape.outputs < 1 || shape.inputs < 1 || shape.kernel_h < 1 || shape.kernel_w < 1 ||
        shape.groups < 1) {
        fail("every size must be at least 1");
    }
    if (shape.outputs % shape.groups != 0) fail("groups do not divide the outputs");
    if (terms.empty()) fail("no term");
    for (const WeightTerm& term : terms) {
        if (term.cluster < 1 || term.cluster > shape.inputs) fail("cluster outside 1..inputs");
        if (term.left_shift < 0 || term.left_shift > 31)
            fail("terms lie more than 31 powers of two apart");
        const int64_t found = term.values.find_out_of_range();
        if (found < term.values.count())
            fail("value " + std::to_string(term.values.at(found)) + " out of its format's range");
    }
}

bool is_depthwise(const WeightShape& shape) {
    return shape.groups > 1 && shape.inputs == 1 && shape.outputs == shape.groups;
}

}  // namespace

PackedWeights::PackedWeights(Isa isa, const WeightShape& shape,
                             const std::vector<WeightTerm>& terms)
    : isa_(isa),
      kernels_(kernels::kernels_for(isa)),
      shape_(shape),
      sums_(shape.outputs, 0),
      bounds_(shape.outputs, 0) {
    const int taps = shape.kernel_h * shape.kernel_w;
    for (const WeightTerm& term : terms) {
        const int clusters = int(pieces(shape.inputs, term.cluster));
        for (int64_t o = 0; o < shape.outputs; ++o) {
            int64_t sum = 0, magnitude = 0;
            for (int cluster = 0; cluster < clusters; ++cluster) {
                const int alpha = term.alpha[o * clusters + cluster];
                const int first = cluster * term.cluster;
                const int64_t count = int64_t(std::min(term.cluster, shape.inputs - first)) * taps;
                const weights::Sums total =
                    term.values.sums((o * shape.inputs + first) * taps, count, kernels_.count_bits);
                sum += alpha * total.values;
                magnitude += alpha * total.magnitudes;
            }
            sums_[o] += sum * (int64_t{1} << term.left_shift);
            bounds_[o] += 255 * (magnitude << term.left_shift);
            if (bounds_[o] > INT32_MAX)
                fail("an accumulator could leave int32; use smaller scales");
        }
    }
    if (shape.groups == 1 && shape.kernel_w > 1 && 2 * shape.outputs <= kernels_.panel) {
        for (const WeightTerm& term : terms) {
            const int64_t count = shape.outputs * pieces(shape.inputs, term.cluster);
            kept_terms_.push_back({&term.values.format(),
                                   term.cluster,
                                   term.left_shift,
                                   {term.alpha, term.alpha + count}});
        }
    }
}

std::shared_ptr<const PackedWeights> PackedWeights::pack(Isa isa, const WeightShape& shape,
                                                         const std::vector<WeightTerm>& terms) {
    check(shape, terms);
    std::vector<WeightTerm> coarsest_first = terms;
    std::stable_sort(
        coarsest_first.begin(), coarsest_first.end(),
        [](const WeightTerm& a, const WeightTerm& b) { return a.left_shift > b.left_shift; });
    if (is_depthwise(shape)) return std::make_shared<DepthwiseWeights>(isa, shape, coarsest_first);
    return std::make_shared<DenseWeights>(isa, shape, coarsest_first);
}

}  // namespace sub8::conv
