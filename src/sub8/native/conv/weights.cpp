#include "conv/weights.h"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "conv/layers.h"
#include "kernels/table.h"

namespace sub8 {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument("weights: " + what); }

int largest_value(WeightKind kind) {
    return kind == WeightKind::ternary ? 1 : kind == WeightKind::int4 ? 7 : 127;
}

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
        const int64_t count =
            int64_t(shape.outputs) * shape.inputs * shape.kernel_h * shape.kernel_w;
        const int largest = largest_value(term.kind);
        const auto out_of_range = [=](int8_t value) { return std::abs(int(value)) > largest; };
        // Counted, which takes vectors, since almost never is there one to be found.
        if (std::count_if(term.values, term.values + count, out_of_range) > 0) {
            const int8_t* found = std::find_if(term.values, term.values + count, out_of_range);
            fail("value " + std::to_string(*found) + " out of its kind's range");
        }
    }
}

bool is_depthwise(const WeightShape& shape) {
    return shape.groups > 1 && shape.inputs == 1 && shape.outputs == shape.groups;
}

bool can_fold(const WeightShape& shape, const std::vector<WeightTerm>& terms) {
    return shape.groups == 1 && shape.kernel_w > 1 && shape.inputs < 4 &&
           std::all_of(
               terms.begin(), terms.end(),
               [&](const WeightTerm& term) { return term.cluster == shape.inputs; });
}

}  // namespace

PackedWeights::PackedWeights(Isa isa, const WeightShape& shape,
                             const std::vector<WeightTerm>& terms)
    : isa_(isa), shape_(shape), sums_(shape.outputs, 0), bounds_(shape.outputs, 0) {
    const int taps = shape.kernel_h * shape.kernel_w;
    for (const WeightTerm& term : terms) {
        const int clusters = (shape.inputs + term.cluster - 1) / term.cluster;
        for (int64_t o = 0; o < shape.outputs; ++o) {
            int64_t sum = 0, magnitude = 0;
            for (int cluster = 0; cluster < clusters; ++cluster) {
                const int alpha = term.alpha[o * clusters + cluster];
                const int first = cluster * term.cluster;
                const int count = std::min(term.cluster, shape.inputs - first) * taps;
                const int8_t* values = term.values + (o * shape.inputs + first) * taps;
                int64_t total = 0, total_magnitude = 0;
                for (int i = 0; i < count; ++i) {
                    total += values[i];
                    total_magnitude += std::abs(int(values[i]));
                }
                sum += alpha * total;
                magnitude += alpha * total_magnitude;
            }
            sums_[o] += sum * (int64_t{1} << term.left_shift);
            bounds_[o] += 255 * (magnitude << term.left_shift);
            if (bounds_[o] > INT32_MAX)
                fail("an accumulator could leave int32; use smaller scales");
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

DenseWeights::DenseWeights(Isa isa, const WeightShape& shape, const std::vector<WeightTerm>& terms)
    : PackedWeights(isa, shape, terms),
      kernels_(kernels_for(isa)),
      folded_(can_fold(shape, terms)) {
    for (std::size_t i = 0; i < terms.size(); ++i) {
        const int next = i + 1 < terms.size() ? terms[i + 1].left_shift : 0;
        streams_.push_back(make_stream(kernels_, shape, terms[i], folded_, panels_per_group()));
        streams_.back().shift_after = terms[i].left_shift - next;
    }
}

std::size_t DenseWeights::bytes() const {
    std::size_t total = 0;
    for (const Stream& stream : streams_) total += stream.codes.size() + stream.alpha.size();
    return total;
}

DepthwiseWeights::DepthwiseWeights(Isa isa, const WeightShape& shape,
                                   const std::vector<WeightTerm>& terms)
    : PackedWeights(isa, shape, terms), kernels_(kernels_for(isa)) {
    const int channels = shape.outputs;
    const int taps = shape.kernel_h * shape.kernel_w;
    for (int begin = 0; begin < channels; begin += kDepthwiseBlock) {
        blocks_.push_back(std::max(0, std::min(begin, channels - kDepthwiseBlock)));
    }
    for (const WeightTerm& term : terms) {
        Term packed;
        packed.left_shift = term.left_shift;
        packed.parts.assign(blocks_.size() * pairs() * kDepthwiseStep, 0);
        packed.factors.assign(blocks_.size() * kDepthwiseBlock * 2, 0);
        for (std::size_t block = 0; block < blocks_.size(); ++block) {
            for (int j = 0; j < kDepthwiseBlock; ++j) {
                const int channel = blocks_[block] + kernels_.depthwise_order[j];
                if (channel >= channels) continue;
                int16_t* factors = packed.factors.data() + (block * kDepthwiseBlock + j) * 2;
                factors[0] = term.alpha[channel];
                factors[1] = int16_t(16 * term.alpha[channel]);
                for (int tap = 0; tap < taps; ++tap) {
                    const int value = term.values[int64_t(channel) * taps + tap];
                    const int high = (value + 8) >> 4;
                    int8_t* parts =
                        packed.parts.data() + (block * pairs() + tap / 2) * kDepthwiseStep;
                    parts[2 * j + tap % 2] = int8_t(value - 16 * high);
                    parts[2 * kDepthwiseBlock + 2 * j + tap % 2] = int8_t(high);
                }
            }
        }
        terms_.push_back(std::move(packed));
    }
}

std::size_t DepthwiseWeights::bytes() const {
    std::size_t total = 0;
    for (const Term& term : terms_)
        total += term.parts.size() + term.factors.size() * sizeof(int16_t);
    return total;
}

std::vector<int8_t> DenseWeights::unpack(std::size_t term) const {
    return unpack_stream(kernels_, shape(), streams_.at(term), folded_);
}

std::vector<int8_t> DepthwiseWeights::unpack(std::size_t term) const {
    const int taps = shape().kernel_h * shape().kernel_w;
    const std::vector<int8_t>& all = terms_.at(term).parts;
    std::vector<int8_t> values(std::size_t(shape().outputs) * taps);
    for (std::size_t block = 0; block < blocks_.size(); ++block) {
        for (int j = 0; j < kDepthwiseBlock; ++j) {
            const int channel = blocks_[block] + kernels_.depthwise_order[j];
            if (channel >= shape().outputs) continue;
            for (int tap = 0; tap < taps; ++tap) {
                const int8_t* parts = all.data() + (block * pairs() + tap / 2) * kDepthwiseStep;
                const int low = parts[2 * j + tap % 2];
                const int high = parts[2 * kDepthwiseBlock + 2 * j + tap % 2];
                values[std::size_t(channel) * taps + tap] = int8_t(low + 16 * high);
            }
        }
    }
    return values;
}

}  // namespace sub8
