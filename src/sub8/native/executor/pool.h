// Pooling over windows of 8-bit [B, H, W, C].
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "executor/step.h"
#include "numeric.h"

namespace sub8::executor {

struct PoolShape {
    std::int64_t batch = 1, height = 1, width = 1, channels = 1;
    std::int64_t out_height = 1, out_width = 1;
    std::int64_t kernel_height = 1, kernel_width = 1;
    std::int64_t stride_height = 1, stride_width = 1;
    std::int64_t top = 0, left = 0, bottom = 0, right = 0;
    std::int64_t dilation_height = 1, dilation_width = 1;

    std::int64_t input_count() const { return batch * height * width * channels; }
    std::int64_t output_count() const { return batch * out_height * out_width * channels; }
};

// Throws std::invalid_argument where a size is out of range.
void check_pool(const PoolShape& shape);

// The part of a window that lies inside the input: first position, number of positions (perhaps 0).
struct Span {
    std::int64_t first;
    std::int64_t count;
};

// The spans of all windows along one axis.
std::vector<Span> window_spans(std::int64_t windows, std::int64_t stride, std::int64_t pad,
                               std::int64_t kernel, std::int64_t dilation, std::int64_t size);

class MaxPool : public Step {
  public:
    MaxPool(const Buffer& x, const Buffer& out, const PoolShape& shape, bool is_signed);
    void run(const Frame& frame, const Worker& worker) const override;
    std::size_t scratch_bytes(int threads) const override;

  private:
    Buffer x_, out_;
    PoolShape shape_;
    bool is_signed_;
    std::vector<Span> rows_, columns_;
};

// Sums over windows of (x - zero_point), and the positions that each mean divides by.
class WindowSums {
  public:
    static constexpr std::int64_t kChannelBlock = 256;  // channels that are summed at once, at most

    WindowSums(const PoolShape& shape, bool is_signed, int zero_point, bool count_include_pad);
    // channels [begin, end) of output position (y, x) of one image; sums has end - begin elements.
    // Returns the divisor, at least 1.
    std::int64_t compute(const std::uint8_t* image, std::int64_t y, std::int64_t x,
                         std::int64_t begin, std::int64_t end,
                         const kernels::ElementKernels& kernels, std::int64_t* sums) const;
    const PoolShape& shape() const { return shape_; }

  private:
    PoolShape shape_;
    bool is_signed_;
    int zero_point_;
    std::vector<Span> rows_, columns_;
    std::vector<Span> counted_rows_, counted_columns_;  // the positions that the divisor counts
};

// Calls visit(image, position, channel, count, sums, divisor) for this worker's share of the sums
// of the windows over input: those of channels channel .. channel + count - 1 at an output
// position.
template <typename Visit>
void for_window_sums(const WindowSums& window, const std::uint8_t* input, const Worker& worker,
                     const Visit& visit) {
    const PoolShape& s = window.shape();
    const std::int64_t blocks = pieces(s.channels, WindowSums::kChannelBlock);
    const Range part = share(s.batch * s.out_height * s.out_width * blocks, worker);
    for (std::int64_t task = part.begin; task < part.end; ++task) {
        const std::int64_t position = task / blocks;
        const std::int64_t begin = task % blocks * WindowSums::kChannelBlock;
        const std::int64_t end = std::min(begin + WindowSums::kChannelBlock, s.channels);
        const std::int64_t line = position / s.out_width;
        const std::int64_t image = line / s.out_height;
        std::int64_t sums[WindowSums::kChannelBlock];
        const std::int64_t divisor =
            window.compute(input + image * s.height * s.width * s.channels, line % s.out_height,
                           position % s.out_width, begin, end, worker.kernels, sums);
        visit(image, position, begin, end - begin, sums, divisor);
    }
}

// clamp(round_half_even(sum * multiplier / (divisor * 2**shift)) + zero_point, low, high)
struct MeanArithmetic {
    std::int64_t multiplier = 1;
    int shift = 0;
    int zero_point = 0;
    int low = 0;
    int high = 255;
};

// A step that reads the windows of x.
template <typename Result>
class WindowStep : public Result {
  protected:
    template <typename... Arguments>
    WindowStep(const Buffer& x, const WindowSums& sums, const Arguments&... result)
        : Result(result...), x_(x), sums_(sums) {
        this->reading(x, sums.shape().input_count());
    }

    Buffer x_;
    WindowSums sums_;
};

class AveragePool : public WindowStep<Step> {
  public:
    AveragePool(const Buffer& x, const Buffer& out, const WindowSums& sums,
                const MeanArithmetic& arithmetic);
    void run(const Frame& frame, const Worker& worker) const override;

  private:
    template <typename T>
    void write_means(const Frame& frame, const Worker& worker) const;

    Buffer out_;
    MeanArithmetic arithmetic_;
    bool in_double_;  // may divide
};

}  // namespace sub8::executor
