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
    : WindowStep(x, sums, out, sums.shape().output_count(), sums.shape().batch, exponent, low,
                 high),
      x_exponent_(x_exponent) {
    x_exponent.check(sums.shape().batch);
    if (x_exponent.per_image) reading(*x_exponent.per_image, x_exponent.images * 4);
}

void DynamicMeanRound::run(const Frame& frame, const Worker& worker) const {
    const PoolShape& s = sums_.shape();
    const auto chosen = [&](std::int64_t image) {
        return exponent_of(frame, image, [&](std::uint64_t largest) {
            return chosen_exponent(largest, x_exponent_.of(frame, image), exponent_.is_signed);
        });
    };
    write_exponents(frame, worker, chosen);
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
