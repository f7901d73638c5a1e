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
    if (terms.size() == 1) pack_lines(terms[0]);
}

void DepthwiseWeights::pack_lines(const WeightTerm& term) {
    const kernels::DepthwiseLines& kernel = kernels().depthwise_lines;
    const int channels = shape().outputs;
    const int rows = shape().kernel_h, columns = shape().kernel_w;
    if (kernel.choose == nullptr || channels < kernel.vector / kernel.most_lines ||
        kernel.choose(1, rows, columns, 1) == nullptr) {
        return;
    }
    // The smallest block that holds the rest; the last begins before the one before it ends.
    for (int done = 0; done < channels;) {
        int lines = 1;
        while (lines < kernel.most_lines &&
               (kernel.vector / lines > channels || kernel.vector / lines / 2 >= channels - done)) {
            lines *= 2;
        }
        const int block = kernel.vector / lines;
        line_blocks_.push_back({std::min(done, channels - block), block, lines, 0});
        done = line_blocks_.back().first + block;
    }
    const std::vector<int8_t> values = term.values.values();
    for (LineBlock& block : line_blocks_) {
        block.weights = line_weights_.size();
        for (int column = 0; column < columns; ++column) {
            for (int four = 0; four < rows; four += 4) {
                for (int place = 0; place < kernel.vector; ++place) {
                    const int channel = line_channel(block, place);
                    int8_t taps[4] = {0, 0, 0, 0};
                    const int count = std::min(4, rows - four);
                    const int at = count == 1 ? place / (kernel.vector / 4) : 0;
                    for (int i = 0; i < count; ++i)
                        taps[at + i] =
                            values[(std::size_t(channel) * rows + four + i) * columns + column];
                    line_weights_.insert(line_weights_.end(), taps, taps + 4);
                }
            }
        }
    }
    for (int channel = 0; channel < channels; ++channel)
        line_scales_.push_back(int32_t(term.alpha[channel]) << term.left_shift);
}

int DepthwiseWeights::line_channel(const LineBlock& block, int place) const {
    const int byte = kernels::depthwise_line_byte(kernels().depthwise_lines.vector, place);
    return block.first + byte % block.channels;
}

std::size_t DepthwiseWeights::bytes() const {
    std::size_t total = 0;
    for (const Term& term : terms_)
        total += term.parts.size() + term.factors.size() * sizeof(int16_t);
    return total + line_weights_.size() + line_scales_.size() * sizeof(int32_t);
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
