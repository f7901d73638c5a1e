#include "executor/pool.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "executor/sizes.h"
#include "numeric.h"
#include "requantize/scalar.h"

namespace sub8::executor {
namespace {

// Positions whose bytes an int32 sum surely holds.
constexpr std::int64_t kPositionsOfInt32 = std::int64_t{1} << 23;
constexpr std::int64_t kLargestWindow = std::int64_t{1} << 40;

}  // namespace

void check_pool(const PoolShape& s) {
    checked_product({s.batch, s.height, s.width, s.channels});
    checked_product({s.batch, s.out_height, s.out_width, s.channels});
    require(checked_product({s.kernel_height, s.kernel_width}) <= kLargestWindow,
            "a pooling window is too large");
    for (const std::int64_t size : {s.stride_height, s.stride_width, s.dilation_height,
                                    s.dilation_width, s.kernel_height, s.kernel_width}) {
        require(size >= 1 && size < kLargestWindow, "a pooling size is out of range");
    }
    for (const std::int64_t pad : {s.top, s.left, s.bottom, s.right}) {
        require(pad >= 0 && pad <= kLargestWindow, "pooling pads must not be negative");
    }
    // Before memory is taken for them: windows begin at different places of the padded input.
    require(
        s.out_height <= s.height + s.top + s.bottom && s.out_width <= s.width + s.left + s.right,
        "a pooling has more windows than places");
}

std::vector<Span> window_spans(std::int64_t windows, std::int64_t stride, std::int64_t pad,
                               std::int64_t kernel, std::int64_t dilation, std::int64_t size) {
    std::vector<Span> spans;
    for (std::int64_t window = 0; window < windows; ++window) {
        const std::int64_t start = window * stride - pad;
        const std::int64_t skipped = start < 0 ? pieces(-start, dilation) : 0;
        const std::int64_t first = start + skipped * dilation;
        const bool outside = first >= size || skipped >= kernel;
        const std::int64_t reached = outside ? 0 : (size - 1 - first) / dilation + 1;
        spans.push_back({outside ? 0 : first, outside ? 0 : std::min(kernel - skipped, reached)});
    }
    return spans;
}

MaxPool::MaxPool(const Buffer& x, const Buffer& out, const PoolShape& shape, bool is_signed)
    : x_(x), out_(out), shape_(shape), is_signed_(is_signed) {
    check_pool(shape);
    reading(x, shape.input_count());
    writing(out, shape.output_count());
    rows_ = window_spans(shape.out_height, shape.stride_height, shape.top, shape.kernel_height,
                         shape.dilation_height, shape.height);
    columns_ = window_spans(shape.out_width, shape.stride_width, shape.left, shape.kernel_width,
                            shape.dilation_width, shape.width);
}

std::size_t MaxPool::scratch_bytes(int) const {
    const std::int64_t pointers = std::max(shape_.kernel_height, shape_.kernel_width);
    return static_cast<std::size_t>(pointers) * sizeof(const std::uint8_t*) +
           static_cast<std::size_t>(shape_.width * shape_.channels);
}

// First the largest of a window's rows, for whole lines; neighbouring windows share them.
void MaxPool::run(const Frame& frame, const Worker& worker) const {
    const PoolShape& s = shape_;
    const std::uint8_t* input = x_.read(frame);
    std::uint8_t* out = out_.write(frame);
    const std::uint8_t** sources = reinterpret_cast<const std::uint8_t**>(worker.scratch);
    std::uint8_t* line =
        reinterpret_cast<std::uint8_t*>(sources + std::max(s.kernel_height, s.kernel_width));
    const std::uint8_t lowest = is_signed_ ? 0x80 : 0;
    const auto largest = [&](const Span& span, std::int64_t dilation, const std::uint8_t* from,
                             std::int64_t pitch, std::int64_t bytes, std::uint8_t* to) {
        for (std::int64_t i = 0; i < span.count; ++i)
            sources[i] = from + (span.first + i * dilation) * pitch;
        if (span.count == 0) {
            std::memset(to, lowest, static_cast<std::size_t>(bytes));
        } else {
            worker.kernels.largest_of_rows(sources, static_cast<int>(span.count), bytes, is_signed_,
                                           to);
        }
    };
    const Range part = share(s.batch * s.out_height, worker);
    for (std::int64_t row = part.begin; row < part.end; ++row) {
        const std::uint8_t* image = input + row / s.out_height * s.height * s.width * s.channels;
        const Span vertical = rows_[static_cast<std::size_t>(row % s.out_height)];
        largest(vertical, s.dilation_height, image, s.width * s.channels, s.width * s.channels,
                line);
        for (std::int64_t column = 0; column < s.out_width; ++column) {
            largest(columns_[static_cast<std::size_t>(column)], s.dilation_width, line, s.channels,
                    s.channels, out + (row * s.out_width + column) * s.channels);
        }
    }
}

WindowSums::WindowSums(const PoolShape& shape, bool is_signed, int zero_point,
                       bool count_include_pad)
    : shape_(shape), is_signed_(is_signed), zero_point_(zero_point) {
    check_pool(shape);
    require(shape.dilation_height == 1 && shape.dilation_width == 1,
            "average pooling has no dilations");
    require(zero_point >= -128 && zero_point <= 255, "a zero point must fit 8 bits");
    const PoolShape& s = shape_;
    rows_ = window_spans(s.out_height, s.stride_height, s.top, s.kernel_height, 1, s.height);
    columns_ = window_spans(s.out_width, s.stride_width, s.left, s.kernel_width, 1, s.width);
    counted_rows_ = rows_;
    counted_columns_ = columns_;
    if (count_include_pad) {
        counted_rows_ = window_spans(s.out_height, s.stride_height, 0, s.kernel_height, 1,
                                     s.height + s.top + s.bottom);
        counted_columns_ = window_spans(s.out_width, s.stride_width, 0, s.kernel_width, 1,
                                        s.width + s.left + s.right);
    }
}

std::int64_t WindowSums::compute(const std::uint8_t* image, std::int64_t y, std::int64_t x,
                                 std::int64_t begin, std::int64_t end,
                                 const kernels::ElementKernels& kernels, std::int64_t* sums) const {
    const PoolShape& s = shape_;
    const auto channels = static_cast<std::size_t>(end - begin);
    const auto row = static_cast<std::size_t>(y), column = static_cast<std::size_t>(x);
    const Span rows = rows_[row], columns = columns_[column];
    const std::int64_t inside = rows.count * columns.count;
    std::fill(sums, sums + channels, -inside * zero_point_);
    std::array<std::int32_t, kChannelBlock> partial{};
    std::int64_t held = 0;  // positions in the partial sums
    const auto pass_on = [&] {
        for (std::size_t i = 0; i < channels; ++i) sums[i] += partial[i];
        partial.fill(0);
        held = 0;
    };
    for (std::int64_t i = 0; i < rows.count; ++i) {
        const std::uint8_t* line =
            image + ((rows.first + i) * s.width + columns.first) * s.channels + begin;
        for (std::int64_t done = 0; done < columns.count;) {
            const std::int64_t step = std::min(columns.count - done, kPositionsOfInt32);
            if (held + step > kPositionsOfInt32) pass_on();
            kernels.add_rows(line + done * s.channels, step, s.channels, end - begin, is_signed_,
                             partial.data());
            held += step;
            done += step;
        }
    }
    pass_on();
    return std::max<std::int64_t>(counted_rows_[row].count * counted_columns_[column].count, 1);
}

AveragePool::AveragePool(const Buffer& x, const Buffer& out, const WindowSums& sums,
                         const MeanArithmetic& arithmetic)
    : WindowStep(x, sums), out_(out), arithmetic_(arithmetic) {
    const MeanArithmetic& k = arithmetic;
    require(k.shift >= 0 && k.shift <= 40, "a shift must lie in 0..40");
    require(k.multiplier >= 0, "a multiplier must not be negative");
    const double window =
        static_cast<double>(sums.shape().kernel_height * sums.shape().kernel_width);
    require(255.0 * window * static_cast<double>(k.multiplier) < 4.6e18 &&
                window * std::ldexp(1.0, k.shift) < 4.6e18,
            "the window and the scales lead past 64-bit sums");
    require_8_bit_limits(k.low, k.high);
    require(k.zero_point >= -128 && k.zero_point <= 255, "a zero point must fit 8 bits");
    writing(out, sums.shape().output_count());
    const double largest_mean = 512.0 * static_cast<double>(k.multiplier);  // zero points included
    in_double_ = largest_mean * window < requantize::kDoubleValue &&
                 window * std::ldexp(1.0, k.shift) < requantize::kDoubleDivisor &&
                 largest_mean < requantize::kDoubleQuotient * std::ldexp(1.0, k.shift);
}

void AveragePool::run(const Frame& frame, const Worker& worker) const {
    if (in_double_)
        write_means<double>(frame, worker);
    else
        write_means<std::int64_t>(frame, worker);
}

// T: what divides.
template <typename T>
void AveragePool::write_means(const Frame& frame, const Worker& worker) const {
    const PoolShape& s = sums_.shape();
    const MeanArithmetic k = arithmetic_;
    std::uint8_t* out = out_.write(frame);
    for_window_sums(sums_, x_.read(frame), worker,
                    [&](std::int64_t, std::int64_t position, std::int64_t channel,
                        std::int64_t count, const std::int64_t* sums, std::int64_t positions) {
                        const T divisor = static_cast<T>(positions << k.shift);
                        std::uint8_t* target = out + position * s.channels + channel;
                        for (std::int64_t i = 0; i < count; ++i) {
                            const std::int64_t mean = requantize::divide_round_half_even(
                                static_cast<T>(sums[i] * k.multiplier), divisor);
                            target[i] = static_cast<std::uint8_t>(requantize::clamp<std::int64_t>(
                                mean + k.zero_point, k.low, k.high));
                        }
                    });
}

}  // namespace sub8::executor
