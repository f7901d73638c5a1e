#include "executor/dynamic_pool.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "executor/dynamic_exponent.h"
#include "executor/sizes.h"
#include "requantize/scalar.h"

namespace sub8::executor {
namespace {

using requantize::clamp;

int chosen_exponent(std::uint64_t largest, std::int64_t unit, bool is_signed) {
    if (largest == 0) return kLowestExponent;
    return choose_exponent(floor_log2(from_bits(largest)) + unit, is_signed);
}

}  // namespace

DynamicMeanLargest::DynamicMeanLargest(const Buffer& x, const WindowSums& sums,
                                       const Buffer& largest)
    : LargestStep(largest, sums.shape().batch), x_(x), sums_(sums) {
    reading(x, sums.shape().input_count());
}

void DynamicMeanLargest::run(const Frame& frame, const Worker& worker) const {
    std::uint64_t* const largest_of = slots(frame);
    for_window_sums(sums_, x_.read(frame), worker,
                    [&](std::int64_t image, std::int64_t, std::int64_t, std::int64_t count,
                        const std::int64_t* sums, std::int64_t divisor) {
                        std::int64_t highest = 0;
                        for (std::int64_t i = 0; i < count; ++i) {
                            highest = std::max<std::int64_t>(highest, std::llabs(sums[i]));
                        }
                        raise_to(largest_of + image, bits_of(static_cast<double>(highest) /
                                                             static_cast<double>(divisor)));
                    });
}

DynamicMeanRound::DynamicMeanRound(const Buffer& x, const Exponent& x_exponent,
                                   const WindowSums& sums, const Buffer& out,
                                   const ResultExponent& exponent, int low, int high)
    : x_(x),
      x_exponent_(x_exponent),
      sums_(sums),
      out_(out),
      exponent_(exponent),
      low_(low),
      high_(high) {
    const PoolShape& s = sums.shape();
    require_8_bit_limits(low, high);
    exponent.check();
    x_exponent.check(s.batch);
    reading(x, s.input_count());
    writing(out, s.output_count());
    if (x_exponent.per_image) reading(*x_exponent.per_image, x_exponent.images * 4);
    if (exponent.largest) {
        reading(*exponent.largest, s.batch * 8);
        writing(*exponent.chosen, s.batch * 4);
    }
}

void DynamicMeanRound::run(const Frame& frame, const Worker& worker) const {
    const PoolShape& s = sums_.shape();
    const auto chosen = [&](std::int64_t image) {
        if (!exponent_.largest) return exponent_.fixed;
        const auto* largest =
            reinterpret_cast<const std::uint64_t*>(exponent_.largest->read(frame));
        return chosen_exponent(largest[image], x_exponent_.of(frame, image), exponent_.is_signed);
    };
    if (worker.share == 0) exponent_.write(frame, s.batch, chosen);
    std::uint8_t* out = out_.write(frame);
    for_window_sums(
        sums_, x_.read(frame), worker,
        [&](std::int64_t image, std::int64_t position, std::int64_t channel, std::int64_t count,
            const std::int64_t* sums, std::int64_t divisor) {
            const std::int64_t shift = chosen(image) - x_exponent_.of(frame, image);
            // Beyond these limits the result is saturated, or 0, all the same.
            const std::int64_t factor = std::int64_t{1} << clamp<std::int64_t>(-shift, 0, 30);
            const std::int64_t whole = divisor << clamp<std::int64_t>(shift, 0, 38);
            std::uint8_t* target = out + position * s.channels + channel;
            for (std::int64_t i = 0; i < count; ++i) {
                const std::int64_t mean =
                    requantize::divide_round_half_even(sums[i] * factor, whole);
                target[i] = static_cast<std::uint8_t>(clamp<std::int64_t>(mean, low_, high_));
            }
        });
}

}  // namespace sub8::executor
