#include "conv/depthwise_weights.h"

#include <algorithm>

namespace sub8::conv {

DepthwiseWeights::DepthwiseWeights(Isa isa, const WeightShape& shape,
                                   const std::vector<WeightTerm>& terms)
    : PackedWeights(isa, shape, terms) {
    const int channels = shape.outputs;
    const int taps = shape.kernel_h * shape.kernel_w;
    for (int begin = 0; begin < channels; begin += kernels::kDepthwiseBlock) {
        blocks_.push_back(std::max(0, std::min(begin, channels - kernels::kDepthwiseBlock)));
    }
    for (const WeightTerm& term : terms) {
        const std::vector<int8_t> values = term.values.values();
        Term packed;
        packed.left_shift = term.left_shift;
        packed.parts.assign(blocks_.size() * pairs() * kernels::kDepthwiseStep, 0);
        packed.factors.assign(blocks_.size() * kernels::kDepthwiseBlock * 2, 0);
        for (std::size_t block = 0; block < blocks_.size(); ++block) {
            for (int j = 0; j < kernels::kDepthwiseBlock; ++j) {
                const int channel = blocks_[block] + kernels().depthwise.order[j];
                if (channel >= channels) continue;
                int16_t* factors =
                    packed.factors.data() + (block * kernels::kDepthwiseBlock + j) * 2;
                factors[0] = term.alpha[channel];
                factors[1] = int16_t(16 * term.alpha[channel]);
                for (int tap = 0; tap < taps; ++tap) {
                    const int value = values[std::size_t(channel) * taps + tap];
                    const int high = (value + 8) >> 4;
                    int8_t* parts =
                        packed.parts.data() + (block * pairs() + tap / 2) * kernels::kDepthwiseStep;
                    parts[2 * j + tap % 2] = int8_t(value - 16 * high);
                    parts[2 * kernels::kDepthwiseBlock + 2 * j + tap % 2] = int8_t(high);
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

std::vector<int8_t> DepthwiseWeights::unpack(std::size_t term) const {
    const int taps = shape().kernel_h * shape().kernel_w;
    const std::vector<int8_t>& all = terms_.at(term).parts;
    std::vector<int8_t> values(std::size_t(shape().outputs) * taps);
    for (std::size_t block = 0; block < blocks_.size(); ++block) {
        for (int j = 0; j < kernels::kDepthwiseBlock; ++j) {
            const int channel = blocks_[block] + kernels().depthwise.order[j];
            if (channel >= shape().outputs) continue;
            for (int tap = 0; tap < taps; ++tap) {
                const int8_t* parts =
                    all.data() + (block * pairs() + tap / 2) * kernels::kDepthwiseStep;
                const int low = parts[2 * j + tap % 2];
                const int high = parts[2 * kernels::kDepthwiseBlock + 2 * j + tap % 2];
                values[std::size_t(channel) * taps + tap] = int8_t(low + 16 * high);
            }
        }
    }
    return values;
}

}  // namespace sub8::conv
