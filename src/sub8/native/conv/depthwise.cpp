// The driver of depthwise convolutions: straight on NHWC rows, 32 channels at a time.
//
// An output row is cut into segments within which every tap moves on by the same step: the inner
// part, where all columns are inside, and the positions at the borders one by one. Taps outside
// read padding, which is as long as a segment of input.
#include <algorithm>
#include <cassert>
#include <cstring>

#include "conv/layers.h"
#include "conv/requantize.h"
#include "conv/scratch.h"

namespace sub8 {
namespace {

constexpr int kSegment = 32;  // positions whose accumulators are kept until the epilogue

class DepthwiseConvolution : public Convolution {
  public:
    DepthwiseConvolution(std::shared_ptr<const DepthwiseWeights> weights,
                         const ConvGeometry& geometry, const InputFormat& input,
                         const Epilogue& epilogue)
        : weights_(std::move(weights)),
          kernels_(weights_->kernels()),
          geometry_(geometry),
          zero_point_(input.zero_point),
          flip_(input.is_signed ? 0x80 : 0),
          channels_(weights_->shape().outputs),
          few_channels_(channels_ < kDepthwiseBlock),
          taps_(2 * weights_->pairs()),
          epilogue_(kernels_, *weights_, zero_point_ + (input.is_signed ? 128 : 0), epilogue) {
        pitch_ = std::max(kDepthwiseBlock, kernels_.panel);
        acc_bytes_ = aligned((kSegment + 1) * int64_t(pitch_) * int64_t(sizeof(int32_t)));
        step_ = few_channels_ ? kDepthwiseBlock : ptrdiff_t(geometry.stride_w) * channels_;
        const int longest = std::min(kSegment, geometry.out_w);
        pad_bytes_ = aligned((longest - 1) * int64_t(step_) + std::max(channels_, kDepthwiseBlock));
        pointer_bytes_ = aligned(taps_ * int64_t(sizeof(void*)));
        // Rows of few channels are copied to where whole blocks may be read.
        copy_bytes_ = few_channels_ ? aligned(taps_ * int64_t(kSegment) * kDepthwiseBlock) : 0;
    }

    std::string algorithm() const override { return "depthwise"; }

    std::size_t scratch_bytes(int) const override {
        return std::size_t(acc_bytes_ + pad_bytes_ + 2 * pointer_bytes_ + copy_bytes_);
    }

    void run(const void* input, const void* residual, void* output, void* scratch, int share,
             int shares, bool) const override {
        assert(share >= 0 && share < shares);
        assert(!epilogue_.needs_residual() || residual != nullptr);
        Scratch memory(scratch);
        Work work;
        work.acc = memory.take<int32_t>(acc_bytes_);
        work.pad = memory.take<uint8_t>(pad_bytes_);
        work.rows = memory.take<const uint8_t*>(pointer_bytes_);
        work.shifted = memory.take<const uint8_t*>(pointer_bytes_);
        work.copy = memory.take<uint8_t>(copy_bytes_);
        work.input = static_cast<const uint8_t*>(input);
        work.residual = residual;
        work.output = output;
        std::memset(work.pad, uint8_t(zero_point_), std::size_t(pad_bytes_));

        const int64_t rows = int64_t(geometry_.batch) * geometry_.out_h;
        for (int64_t row = rows * share / shares; row < rows * (share + 1) / shares; ++row)
            run_row(work, row);
    }

  private:
    struct Work {
        int32_t* acc;
        uint8_t* pad;
        const uint8_t** rows;
        const uint8_t** shifted;
        uint8_t* copy;
        const uint8_t* input;
        const void* residual;
        void* output;
    };

    // First output column from which, and one past the last up to which, every tap is inside.
    void inner_columns(int* begin, int* end) const {
        const int reach = (weights_->shape().kernel_w - 1) * geometry_.dilation_w;
        *begin = std::min(geometry_.out_w,
                          (geometry_.pad_left + geometry_.stride_w - 1) / geometry_.stride_w);
        const int last = geometry_.in_w - 1 - reach + geometry_.pad_left;
        *end = last < 0 ? 0 : std::min(geometry_.out_w, last / geometry_.stride_w + 1);
        *end = std::max(*end, *begin);
    }

    void run_row(const Work& work, int64_t row) const {
        int begin, end;
        inner_columns(&begin, &end);
        int x = 0;
        for (; x < begin; ++x) run_segment(work, row, x, 1);
        for (; x < end; x += std::min(kSegment, end - x))
            run_segment(work, row, x, std::min(kSegment, end - x));
        for (; x < geometry_.out_w; ++x) run_segment(work, row, x, 1);
    }

    void place_taps(const Work& work, int64_t row, int x) const {
        const int image = int(row / geometry_.out_h);
        const int y = int(row % geometry_.out_h);
        const WeightShape& shape = weights_->shape();
        int tap = 0;
        for (int ky = 0; ky < shape.kernel_h; ++ky) {
            const int in_y = y * geometry_.stride_h - geometry_.pad_top + ky * geometry_.dilation_h;
            for (int kx = 0; kx < shape.kernel_w; ++kx, ++tap) {
                const int in_x =
                    x * geometry_.stride_w - geometry_.pad_left + kx * geometry_.dilation_w;
                const bool inside =
                    in_y >= 0 && in_y < geometry_.in_h && in_x >= 0 && in_x < geometry_.in_w;
                const int64_t pixel =
                    (int64_t(image) * geometry_.in_h + in_y) * geometry_.in_w + in_x;
                work.rows[tap] = inside ? work.input + pixel * channels_ : work.pad;
            }
        }
        for (; tap < taps_; ++tap) work.rows[tap] = work.pad;
    }

    void copy_few_channels(const Work& work, int positions) const {
        const ptrdiff_t step = ptrdiff_t(geometry_.stride_w) * channels_;
        for (int tap = 0; tap < taps_; ++tap) {
            uint8_t* to = work.copy + int64_t(tap) * kSegment * kDepthwiseBlock;
            const bool padding = work.rows[tap] == work.pad;
            for (int p = 0; p < positions; ++p, to += kDepthwiseBlock) {
                const uint8_t* from = padding ? work.pad : work.rows[tap] + p * step;
                std::memcpy(to, from, std::size_t(channels_));
                std::memset(to + channels_, 0, std::size_t(kDepthwiseBlock - channels_));
            }
            work.rows[tap] = to - positions * kDepthwiseBlock;
        }
    }

    void run_segment(const Work& work, int64_t row, int x, int positions) const {
        place_taps(work, row, x);
        if (few_channels_) copy_few_channels(work, positions);
        const std::vector<int>& blocks = weights_->blocks();
        const int64_t position = row * geometry_.out_w + x;
        int finished = 0;  // channels
        for (std::size_t block = 0; block < blocks.size(); ++block) {
            run_block(work, block, positions);
            // The last block may begin before the one before it ends.
            const int end = std::min(blocks[block] + kDepthwiseBlock, channels_);
            for (int columns; finished < end; finished += columns) {
                columns = std::min(kernels_.panel, end - finished);
                epilogue_.apply(work.acc + (finished - blocks[block]), pitch_, positions, columns,
                                finished, position, work.residual, work.output);
            }
        }
    }

    void run_block(const Work& work, std::size_t block, int positions) const {
        const int pairs = weights_->pairs();
        const int first_channel = weights_->blocks()[block];
        for (int tap = 0; tap < taps_; ++tap) work.shifted[tap] = work.rows[tap] + first_channel;
        DepthwiseArguments arguments;
        arguments.step = step_;
        arguments.positions = positions;
        arguments.flip = flip_;
        arguments.acc = work.acc;
        arguments.acc_pitch = pitch_;
        arguments.first = true;
        for (const DepthwiseWeights::Term& term : weights_->terms()) {
            arguments.factors = term.factors.data() + block * kDepthwiseBlock * 2;
            arguments.left_shift = term.left_shift;
            for (int pair = 0; pair < pairs; pair += kDepthwisePairs) {
                arguments.rows = work.shifted + 2 * pair;
                arguments.pairs = std::min(kDepthwisePairs, pairs - pair);
                arguments.weights = term.parts.data() + (block * pairs + pair) * kDepthwiseStep;
                kernels_.depthwise(arguments);
                arguments.first = false;
            }
        }
    }

    std::shared_ptr<const DepthwiseWeights> weights_;
    const Kernels& kernels_;
    ConvGeometry geometry_;
    int zero_point_;
    uint8_t flip_;
    int channels_;
    bool few_channels_;
    int taps_;
    PreparedEpilogue epilogue_;
    int pitch_;       // accumulators from position to position
    ptrdiff_t step_;  // bytes of input from position to position
    int64_t acc_bytes_;
    int64_t pad_bytes_;
    int64_t pointer_bytes_;
    int64_t copy_bytes_;
};

}  // namespace

std::unique_ptr<const Convolution> make_depthwise(std::shared_ptr<const DepthwiseWeights> weights,
                                                  const ConvGeometry& geometry,
                                                  const InputFormat& input,
                                                  const Epilogue& epilogue) {
    return std::make_unique<DepthwiseConvolution>(std::move(weights), geometry, input, epilogue);
}

}  // namespace sub8
