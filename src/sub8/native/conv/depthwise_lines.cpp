// The driver of depthwise convolutions whose kernels take whole lines (KernelSet::depthwise_lines).
//
// A block of channels goes over all lines before the next one, so that its weights stay in the
// first-level cache. Inputs are read where they lie: rows outside of the image are a line of
// padding, columns outside are the kernel's business.
#include "conv/depthwise_lines.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "conv/depthwise_weights.h"
#include "conv/scratch.h"
#include "memory.h"

namespace sub8::conv {
namespace {

using Block = DepthwiseWeights::LineBlock;

constexpr int kMostLines = 4, kMostRows = 8;
constexpr int kSegment = 32;  // positions whose sums are kept until they are requantised
// Bytes of input and output that blocks of channels take turns at: they stay in the second-level
// cache.
constexpr int64_t kStripBytes = 1 << 19;

class DepthwiseLineConvolution : public Convolution {
  public:
    DepthwiseLineConvolution(std::shared_ptr<const PreparedLayer> prepared,
                             const ConvGeometry& geometry)
        : Convolution(std::move(prepared)),
          weights_(static_cast<const DepthwiseWeights&>(layer().weights())),
          geometry_(geometry),
          channels_(weights_.shape().outputs),
          vector_(weights_.kernels().depthwise_lines.vector),
          line_bytes_(int64_t(geometry.in_w) * channels_),
          form_(layer().requantize().float_form()) {
        const int64_t row_bytes =
            geometry.stride_h * line_bytes_ + int64_t(geometry.out_w) * channels_;
        strip_ = int(std::max<int64_t>(kMostLines, kStripBytes / row_bytes));
        const std::vector<int32_t>& scales = weights_.line_scales();
        scaled_ = std::any_of(scales.begin(), scales.end(), [](int32_t s) { return s != 1; });
        for (const Block& block : weights_.line_blocks()) prepare(block);
    }

    std::string algorithm() const override { return "depthwise lines"; }

    std::size_t scratch_bytes(int) const override {
        return std::size_t(aligned(line_bytes_) + acc_bytes());
    }

    void run_share(const Operands& operands, Scratch memory, int share, int shares,
                   bool) const override {
        uint8_t* const padding = memory.take<uint8_t>(aligned(line_bytes_));
        std::memset(padding, layer().input().zero_point, std::size_t(line_bytes_));
        const Work work{operands, padding, memory.take<int32_t>(acc_bytes())};
        const int64_t rows = int64_t(geometry_.batch) * geometry_.out_h;
        const int64_t end = rows * (share + 1) / shares;
        for (int64_t row = rows * share / shares; row < end;) {
            const int64_t strip_end = std::min(end, row + strip_);
            for (std::size_t block = 0; block < kernels_.size(); ++block) {
                const int lines = weights_.line_blocks()[block].lines;
                for (int64_t line = row; line < strip_end; line += lines)
                    run_lines(work, block, line, int(std::min<int64_t>(lines, strip_end - line)));
            }
            row = strip_end;
        }
    }

  private:
    struct Work {
        Operands operands;
        const uint8_t* padding;
        int32_t* acc;
    };

    // The kernel of a block and its constants, which are as long for all.
    void prepare(const Block& block) {
        const WeightShape& shape = weights_.shape();
        kernels_.push_back(weights_.kernels().depthwise_lines.choose(
            block.lines, shape.kernel_h, shape.kernel_w, geometry_.stride_w));
        for (int place = 0; place < vector_; ++place) {
            const int channel = weights_.line_channel(block, place);
            if (form_ != nullptr) {
                scale_.push_back(form_->scale * float(weights_.line_scales()[channel]));
                offset_.push_back(form_->float_offset[channel] - float(lowest()));
            } else {
                factors_.push_back(weights_.line_scales()[block.first + place % block.channels]);
            }
        }
    }

    int64_t acc_bytes() const {
        const int64_t sums = form_ != nullptr ? 0 : int64_t(kSegment + 1) * vector_;
        return aligned(sums * int64_t(sizeof(int32_t)));
    }

    // Of results, which the kernels make as uint8.
    int lowest() const { return form_->out_signed ? -128 : 0; }

    // count: of the block's lines, the first ones; the others do the last one's work again.
    void run_lines(const Work& work, std::size_t number, int64_t first, int count) const {
        const Block& block = weights_.line_blocks()[number];
        const int kernel_h = weights_.shape().kernel_h;
        const uint8_t* rows[kMostLines * kMostRows];
        int64_t lines[kMostLines];
        for (int line = 0; line < block.lines; ++line) {
            const int64_t row = lines[line] = first + std::min(line, count - 1);
            const int64_t image = row / geometry_.out_h;
            const int top = int(row % geometry_.out_h) * geometry_.stride_h - geometry_.pad_top;
            for (int i = 0; i < kernel_h; ++i) {
                const int y = top + i * geometry_.dilation_h;
                const bool inside = y >= 0 && y < geometry_.in_h;
                rows[line * kernel_h + i] =
                    (inside ? work.operands.input + (image * geometry_.in_h + y) * line_bytes_
                            : work.padding) +
                    block.first;
            }
        }
        kernels::DepthwiseLineArguments t{};
        t.rows = rows;
        t.padding = layer().stored().zero == 0 ? nullptr : work.padding;
        t.step = channels_;
        t.columns = geometry_.in_w;
        t.first = -geometry_.pad_left;
        t.positions = geometry_.out_w;
        t.flip = layer().stored().flip;
        t.weights = weights_.line_weights(block);
        form_ != nullptr ? to_bytes(work, number, lines, count, t)
                         : to_sums(work, number, lines, count, t);
    }

    void to_bytes(const Work& work, std::size_t number, const int64_t* lines, int count,
                  kernels::DepthwiseLineArguments& t) const {
        const Block& block = weights_.line_blocks()[number];
        t.scale = scale_.data() + number * std::size_t(vector_);
        t.offset = offset_.data() + number * std::size_t(vector_);
        t.low = uint8_t(form_->low - lowest());
        t.high = uint8_t(form_->high - lowest());
        t.out_flip = form_->out_signed ? 0x80 : 0;
        uint8_t* out[kMostLines];
        for (int line = 0; line < block.lines; ++line) {
            out[line] = static_cast<uint8_t*>(work.operands.output) +
                        lines[line] * geometry_.out_w * channels_ + block.first;
        }
        t.out = out;
        t.pitch = channels_;
        kernels_[number](t);
        for (int line = 0; line < count; ++line)
            layer().requantize().apply_function(out[line], t.positions, block.channels,
                                                block.first);
    }

    void to_sums(const Work& work, std::size_t number, const int64_t* lines, int count,
                 kernels::DepthwiseLineArguments& t) const {
        const Block& block = weights_.line_blocks()[number];
        const int panel = weights_.kernels().panel;
        t.factors = scaled_ ? factors_.data() + number * std::size_t(vector_) : nullptr;
        t.acc = work.acc;
        // A last block may begin before the one before it ends.
        const int begin = number == 0 ? 0 : end_of(number - 1);
        const int segment = kSegment / block.lines;
        for (int x = 0; x < geometry_.out_w; x += segment) {
            t.first = x * geometry_.stride_w - geometry_.pad_left;
            t.positions = std::min(segment, geometry_.out_w - x);
            kernels_[number](t);
            for (int line = 0; line < count; ++line) {
                const int32_t* const acc =
                    work.acc + int64_t(line) * t.positions * block.channels - block.first;
                for (int channel = begin; channel < end_of(number); channel += panel) {
                    layer().requantize().apply(acc + channel, block.channels, t.positions,
                                               std::min(panel, end_of(number) - channel), channel,
                                               lines[line] * geometry_.out_w + x,
                                               work.operands.residual, work.operands.output);
                }
            }
        }
    }

    int end_of(std::size_t number) const {
        const Block& block = weights_.line_blocks()[number];
        return block.first + block.channels;
    }

    const DepthwiseWeights& weights_;
    ConvGeometry geometry_;
    int channels_;
    int vector_;  // bytes
    int64_t line_bytes_;
    int strip_;                                 // output rows that blocks take turns at
    const kernels::RequantizeConstants* form_;  // of bytes at once; null: of sums
    bool scaled_;                               // sums, by factors other than 1
    // Of each block.
    std::vector<kernels::DepthwiseLine> kernels_;
    std::vector<float, AlignedAllocator<float>> scale_, offset_;
    std::vector<int32_t, AlignedAllocator<int32_t>> factors_;
};

}  // namespace

std::unique_ptr<const Convolution> make_depthwise_lines(std::shared_ptr<const PreparedLayer> layer,
                                                        const ConvGeometry& geometry) {
    const auto& weights = static_cast<const DepthwiseWeights&>(layer->weights());
    const WeightShape& shape = weights.shape();
    if (weights.line_blocks().empty() || geometry.dilation_w != 1 ||
        weights.kernels().depthwise_lines.choose(1, shape.kernel_h, shape.kernel_w,
                                                 geometry.stride_w) == nullptr) {
        return nullptr;
    }
    return std::make_unique<DepthwiseLineConvolution>(std::move(layer), geometry);
}

}  // namespace sub8::conv
