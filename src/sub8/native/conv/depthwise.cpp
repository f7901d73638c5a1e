// The driver of depthwise convolutions: 32 channels at a time, on NHWC rows.
//
// The input rows of an output row stand in a ring, with their padding, so that all positions are
// alike; an output row further down needs a new one or two only. It is cut into segments whose
// accumulators stay near until they are requantised.
#include "conv/depthwise.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "conv/depthwise_weights.h"
#include "conv/padded_row.h"
#include "conv/scratch.h"

namespace sub8::conv {
namespace {

constexpr int kSegment = 32;  // positions whose accumulators are kept until they are requantised

class DepthwiseConvolution : public Convolution {
  public:
    DepthwiseConvolution(std::shared_ptr<const PreparedLayer> prepared,
                         const ConvGeometry& geometry)
        : Convolution(std::move(prepared)),
          weights_(static_cast<const DepthwiseWeights&>(layer().weights())),
          kernels_(weights_.kernels()),
          geometry_(geometry),
          channels_(weights_.shape().outputs),
          column_(std::max(channels_, kernels::kDepthwiseBlock)),
          rows_((weights_.shape().kernel_h - 1) * geometry.dilation_h + 1),
          columns_(int64_t(geometry.out_w - 1) * geometry.stride_w +
                   int64_t(weights_.shape().kernel_w - 1) * geometry.dilation_w + 1),
          taps_(2 * weights_.pairs()) {
        pitch_ = std::max(kernels::kDepthwiseBlock, kernels_.panel);
        acc_bytes_ = aligned((kSegment + 1) * int64_t(pitch_) * int64_t(sizeof(int32_t)));
        arranged_bytes_ = aligned(rows_ * columns_ * column_);
        pointer_bytes_ = aligned(taps_ * int64_t(sizeof(void*)));
    }

    std::string algorithm() const override { return "depthwise"; }

    std::size_t scratch_bytes(int) const override {
        return std::size_t(acc_bytes_ + arranged_bytes_ + 2 * pointer_bytes_);
    }

    void run_share(const Operands& operands, Scratch memory, int share, int shares,
                   bool) const override {
        Work work;
        work.acc = memory.take<int32_t>(acc_bytes_);
        work.arranged = memory.take<uint8_t>(arranged_bytes_);
        work.rows = memory.take<const uint8_t*>(pointer_bytes_);
        work.shifted = memory.take<const uint8_t*>(pointer_bytes_);
        work.operands = operands;
        const int64_t rows = int64_t(geometry_.batch) * geometry_.out_h;
        const int64_t first = rows * share / shares, end = rows * (share + 1) / shares;
        for (int64_t row = first; row < end; ++row) {
            const bool goes_on = row > first && row % geometry_.out_h != 0;
            arrange(work, row, goes_on ? std::max(0, rows_ - geometry_.stride_h) : 0);
            for (int x = 0; x < geometry_.out_w; x += kSegment)
                run_segment(work, row, x, std::min(kSegment, geometry_.out_w - x));
        }
    }

  private:
    struct Work {
        int32_t* acc;
        uint8_t* arranged;  // input rows with their padding, each in its place of a ring
        const uint8_t** rows;
        const uint8_t** shifted;
        Operands operands;
    };

    // An input row's place; the first one that an image's outputs need is row -pad_top.
    uint8_t* place(const Work& work, int in_y) const {
        return work.arranged + (in_y + geometry_.pad_top) % rows_ * columns_ * column_;
    }

    // The input rows of an output row; the first `there` are in their places.
    void arrange(const Work& work, int64_t row, int there) const {
        const int64_t image = row / geometry_.out_h;
        const int first = int(row % geometry_.out_h) * geometry_.stride_h - geometry_.pad_top;
        const uint8_t* const pixels =
            work.operands.input + image * geometry_.in_h * geometry_.in_w * channels_;
        for (int in_y = first + there; in_y < first + rows_; ++in_y) {
            uint8_t* const to = place(work, in_y);
            if (column_ == channels_) {
                copy_padded_row(pixels, geometry_, in_y, channels_, columns_,
                                layer().input().zero_point, to);
            } else {
                copy_few_channels(pixels, in_y, to);
            }
        }
    }

    // A padded row of fewer channels, each column of which takes a whole block.
    void copy_few_channels(const uint8_t* pixels, int row, uint8_t* to) const {
        std::memset(to, layer().input().zero_point, std::size_t(columns_ * column_));
        if (row < 0 || row >= geometry_.in_h) return;
        const uint8_t* from = pixels + int64_t(row) * geometry_.in_w * channels_;
        const int64_t left = geometry_.pad_left;
        const int64_t end = std::min(columns_, left + geometry_.in_w);
        for (int64_t column = left; column < end; ++column, from += channels_)
            std::memcpy(to + column * column_, from, std::size_t(channels_));
    }

    void place_taps(const Work& work, int64_t row, int x) const {
        const int first = int(row % geometry_.out_h) * geometry_.stride_h - geometry_.pad_top;
        const WeightShape& shape = weights_.shape();
        int tap = 0;
        for (int ky = 0; ky < shape.kernel_h; ++ky) {
            const uint8_t* from = place(work, first + ky * geometry_.dilation_h) +
                                  int64_t(x) * geometry_.stride_w * column_;
            for (int kx = 0; kx < shape.kernel_w; ++kx, ++tap)
                work.rows[tap] = from + int64_t(kx) * geometry_.dilation_w * column_;
        }
        for (; tap < taps_; ++tap) work.rows[tap] = work.arranged;  // its weights are 0
    }

    void run_segment(const Work& work, int64_t row, int x, int positions) const {
        place_taps(work, row, x);
        const std::vector<int>& blocks = weights_.blocks();
        const int64_t position = row * geometry_.out_w + x;
        int finished = 0;  // channels
        for (std::size_t block = 0; block < blocks.size(); ++block) {
            run_block(work, block, positions);
            // The last block may begin before the one before it ends.
            const int end = std::min(blocks[block] + kernels::kDepthwiseBlock, channels_);
            for (int columns; finished < end; finished += columns) {
                columns = std::min(kernels_.panel, end - finished);
                layer().requantize().apply(work.acc + (finished - blocks[block]), pitch_, positions,
                                           columns, finished, position, work.operands.residual,
                                           work.operands.output);
            }
        }
    }

    void run_block(const Work& work, std::size_t block, int positions) const {
        const int pairs = weights_.pairs();
        const int first_channel = weights_.blocks()[block];
        for (int tap = 0; tap < taps_; ++tap) work.shifted[tap] = work.rows[tap] + first_channel;
        kernels::DepthwiseArguments arguments;
        arguments.step = ptrdiff_t(geometry_.stride_w) * column_;
        arguments.positions = positions;
        arguments.flip = layer().stored().flip;
        arguments.acc = work.acc;
        arguments.acc_pitch = pitch_;
        arguments.first = true;
        for (const DepthwiseWeights::Term& term : weights_.terms()) {
            arguments.factors = term.factors.data() + block * kernels::kDepthwiseBlock * 2;
            arguments.left_shift = term.left_shift;
            for (int pair = 0; pair < pairs; pair += kernels::kDepthwisePairs) {
                arguments.rows = work.shifted + 2 * pair;
                arguments.pairs = std::min(kernels::kDepthwisePairs, pairs - pair);
                arguments.weights =
                    term.parts.data() + (block * pairs + pair) * kernels::kDepthwiseStep;
                kernels_.depthwise.run(arguments);
                arguments.first = false;
            }
        }
    }

    const DepthwiseWeights& weights_;
    const kernels::KernelSet& kernels_;
    ConvGeometry geometry_;
    int channels_;
    int column_;  // bytes from column to column of the ring, whole blocks
    int rows_;    // of the ring
    int64_t columns_;
    int taps_;
    int pitch_;  // accumulators from position to position
    int64_t acc_bytes_;
    int64_t arranged_bytes_;
    int64_t pointer_bytes_;
};

}  // namespace

std::unique_ptr<const Convolution> make_depthwise(std::shared_ptr<const PreparedLayer> layer,
                                                  const ConvGeometry& geometry) {
    return std::make_unique<DepthwiseConvolution>(std::move(layer), geometry);
}

}  // namespace sub8::conv
