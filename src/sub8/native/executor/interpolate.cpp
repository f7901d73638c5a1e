#include "executor/interpolate.h"

#include <algorithm>
#include <cmath>

#include "executor/sizes.h"
#include "requantize/scalar.h"

namespace sub8::executor {
namespace {

// The two elements that a result lies between, and their weights, which add up to twice the factor.
struct Neighbours {
    std::int64_t first, second, weight_first, weight_second;
};

Neighbours neighbours(std::int64_t index, std::int64_t factor, std::int64_t size, bool centred) {
    const std::int64_t whole = 2 * factor;
    const std::int64_t place = centred ? 2 * index + 1 - factor : 2 * index;
    const std::int64_t below = place < 0 ? -1 : place / whole;
    const std::int64_t rest = place - below * whole;
    const auto inside = [size](std::int64_t at) {
        return std::clamp<std::int64_t>(at, 0, size - 1);
    };
    return {inside(below), inside(below + 1), whole - rest, rest};
}

}  // namespace

Interpolate::Interpolate(const Buffer& x, const Buffer& out, const Enlargement& shape)
    : x_(x), out_(out), shape_(shape) {
    const auto& [batch, height, width, channels] = shape.x;
    const std::int64_t count = checked_product({batch, height, width, channels});
    require(count > 0, "nothing lies between no elements");
    require(shape.factor_y >= 1 && shape.factor_y <= 1 << 10 && shape.factor_x >= 1 &&
                shape.factor_x <= 1 << 10,
            "a factor must lie in 1..1024");
    require(shape.shift >= 0 && shape.shift <= 62, "a shift must lie in 0..62");
    require_8_bit_limits(shape.low, shape.high);
    require(shape.zero >= -128 && shape.zero <= 255 && shape.zero_point >= -128 &&
                shape.zero_point <= 255,
            "a zero point must fit 8 bits");
    const double weights = 4.0 * static_cast<double>(shape.factor_y * shape.factor_x);
    const double total = 255.0 * weights * std::fabs(static_cast<double>(shape.multiplier));
    require(total < 4.7e18, "multipliers lead past 64-bit sums");
    narrow_ = total < 1073741824.0 && shape.shift <= 30;
    reading(x, count);
    writing(out, checked_product({count, shape.factor_y, shape.factor_x}));
}

void Interpolate::run(const Frame& frame, const Worker& worker) const {
    if (shape_.is_signed) {
        narrow_ ? run_as<std::int8_t, std::int32_t>(frame, worker)
                : run_as<std::int8_t, std::int64_t>(frame, worker);
    } else {
        narrow_ ? run_as<std::uint8_t, std::int32_t>(frame, worker)
                : run_as<std::uint8_t, std::int64_t>(frame, worker);
    }
}

template <typename Byte, typename Sum>
void Interpolate::run_as(const Frame& frame, const Worker& worker) const {
    const auto& [batch, height, width, channels] = shape_.x;
    const std::int64_t rows = height * shape_.factor_y, columns = width * shape_.factor_x;
    const Byte* x = reinterpret_cast<const Byte*>(x_.read(frame));
    std::uint8_t* out = out_.write(frame);
    const requantize::SumTo8Bit<Sum> to_8_bit(shape_.shift, shape_.zero_point, shape_.low,
                                              shape_.high);
    const Sum multiplier = static_cast<Sum>(shape_.multiplier),
              zero = static_cast<Sum>(shape_.zero);
    const Sum whole = static_cast<Sum>(4 * shape_.factor_y * shape_.factor_x);
    const Range part = share(batch * rows, worker);
    for (std::int64_t line = part.begin; line < part.end; ++line) {
        const Neighbours y = neighbours(line % rows, shape_.factor_y, height, shape_.centred);
        const Byte* image = x + line / rows * height * width * channels;
        const Byte* upper = image + y.first * width * channels;
        const Byte* lower = image + y.second * width * channels;
        std::uint8_t* to = out + line * columns * channels;
        for (std::int64_t column = 0; column < columns; ++column, to += channels) {
            const Neighbours at = neighbours(column, shape_.factor_x, width, shape_.centred);
            const Byte* a = upper + at.first * channels;
            const Byte* b = upper + at.second * channels;
            const Byte* c = lower + at.first * channels;
            const Byte* d = lower + at.second * channels;
            const Sum wa = static_cast<Sum>(y.weight_first * at.weight_first);
            const Sum wb = static_cast<Sum>(y.weight_first * at.weight_second);
            const Sum wc = static_cast<Sum>(y.weight_second * at.weight_first);
            const Sum wd = static_cast<Sum>(y.weight_second * at.weight_second);
            for (std::int64_t i = 0; i < channels; ++i) {
                const Sum sum = wa * a[i] + wb * b[i] + wc * c[i] + wd * d[i] - whole * zero;
                to[i] = to_8_bit(multiplier * sum);
            }
        }
    }
}

}  // namespace sub8::executor
