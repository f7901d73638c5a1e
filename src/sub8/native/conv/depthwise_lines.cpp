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
          line_bytes_(int64_t(geometry.in_w) * channels_) {
        const kernels::DepthwiseLines& lines = weights_.kernels().depthwise_lines;
        const WeightShape& shape = weights_.shape();
        for (const Block& block : weights_.line_blocks())
            kernels_.push_back(
                lines.choose(block.channels, shape.kernel_h, shape.kernel_w, geometry.stride_w));
        const int64_t row_bytes =
            geometry.stride_h * line_bytes_ + int64_t(geometry.out_w) * channels_;
        strip_ = int(std::max<int64_t>(1, kStripBytes / row_bytes));
        form_ = layer().requantize().float_form();
        scaled_ = std::any_of(scales().begin(), scales().end(), [](int32_t s) { return s != 1; });
        if (form_ != nullptr) place_constants();
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
            const int64_t image_end = (row / geometry_.out_h + 1) * geometry_.out_h;
            const int64_t strip_end = std::min({end, image_end, row + strip_});
            for (std::size_t block = 0; block < kernels_.size(); ++block) {
                for (int64_t line = row; line < strip_end; ++line) run_line(work, block, line);
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

    const std::vector<int32_t>& scales() const { return weights_.line_scales(); }

    int64_t acc_bytes() const {
        const int block = weights_.line_blocks()[0].channels;  // the largest
        return form_ != nullptr
                   ? 0
                   : aligned((kSegment + 1) * int64_t(block) * int64_t(sizeof(int32_t)));
    }

    // Of results, which the kernels make as uint8.
    int lowest() const { return form_->out_signed ? -128 : 0; }

    // Scales and offsets of all blocks, in the kernels' places.
    void place_constants() {
        for (const Block& block : weights_.line_blocks()) {
            for (int place = 0; place < block.channels; ++place) {
                const int channel =
                    block.first + kernels::depthwise_line_channel(block.channels, place);
                scale_.push_back(form_->scale * float(scales()[channel]));
                offset_.push_back(form_->float_offset[channel] - float(lowest()));
            }
        }
    }

    void run_line(const Work& work, std::size_t number, int64_t row) const {
        const Block& block = weights_.line_blocks()[number];
        const int image = int(row / geometry_.out_h);
        const int top = int(row % geometry_.out_h) * geometry_.stride_h - geometry_.pad_top;
        const uint8_t* rows[kMostRows];
        for (int i = 0; i < weights_.shape().kernel_h; ++i) {
            const int y = top + i * geometry_.dilation_h;
            const bool inside = y >= 0 && y < geometry_.in_h;
            const int64_t line = int64_t(image) * geometry_.in_h + y;
            rows[i] =
                (inside ? work.operands.input + line * line_bytes_ : work.padding) + block.first;
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
        form_ != nullptr ? to_bytes(work, number, row, t) : to_sums(work, number, row, t);
    }

    void to_bytes(const Work& work, std::size_t number, int64_t row,
                  kernels::DepthwiseLineArguments& t) const {
        const Block& block = weights_.line_blocks()[number];
        const std::size_t constants = number * std::size_t(weights_.line_blocks()[0].channels);
        t.scale = scale_.data() + constants;
        t.offset = offset_.data() + constants;
        t.low = uint8_t(form_->low - lowest());
        t.high = uint8_t(form_->high - lowest());
        t.out_flip = form_->out_signed ? 0x80 : 0;
        t.out = static_cast<uint8_t*>(work.operands.output) + row * geometry_.out_w * channels_ +
                block.first;
        t.pitch = channels_;
        kernels_[number](t);
        layer().requantize().apply_function(t.out, t.positions, block.channels, block.first);
    }

    void to_sums(const Work& work, std::size_t number, int64_t row,
                 kernels::DepthwiseLineArguments& t) const {
        const Block& block = weights_.line_blocks()[number];
        const int panel = weights_.kernels().panel;
        t.factors = scaled_ ? scales().data() + block.first : nullptr;
        t.acc = work.acc;
        t.acc_pitch = block.channels;
        // A last block may begin before the one before it ends.
        const int begin = number == 0 ? 0 : end_of(number - 1);
        for (int x = 0; x < geometry_.out_w; x += kSegment) {
            t.first = x * geometry_.stride_w - geometry_.pad_left;
            t.positions = std::min(kSegment, geometry_.out_w - x);
            kernels_[number](t);
            for (int channel = begin; channel < end_of(number); channel += panel) {
                layer().requantize().apply(work.acc + (channel - block.first), t.acc_pitch,
                                           t.positions, std::min(panel, end_of(number) - channel),
                                           channel, row * geometry_.out_w + x,
                                           work.operands.residual, work.operands.output);
            }
        }
    }

    int end_of(std::size_t number) const {
        const Block& block = weights_.line_blocks()[number];
        return block.first + block.channels;
    }

    static constexpr int kMostRows = 8;

    const DepthwiseWeights& weights_;
    ConvGeometry geometry_;
    int channels_;
    int64_t line_bytes_;
    int strip_;                                    // output rows that blocks take turns at
    std::vector<kernels::DepthwiseLine> kernels_;  // of each block
    const kernels::RequantizeConstants* form_;     // of bytes at once; null: of sums
    std::vector<float, AlignedAllocator<float>> scale_, offset_;
    bool scaled_;
};

}  // namespace

std::unique_ptr<const Convolution> make_depthwise_lines(std::shared_ptr<const PreparedLayer> layer,
                                                        const ConvGeometry& geometry) {
    const auto& weights = static_cast<const DepthwiseWeights&>(layer->weights());
    const WeightShape& shape = weights.shape();
    if (weights.line_blocks().empty() || geometry.dilation_w != 1 ||
        weights.kernels().depthwise_lines.choose(weights.line_blocks()[0].channels, shape.kernel_h,
                                                 shape.kernel_w, geometry.stride_w) == nullptr) {
        return nullptr;
    }
    return std::make_unique<DepthwiseLineConvolution>(std::move(layer), geometry);
}

}  // namespace sub8::conv
