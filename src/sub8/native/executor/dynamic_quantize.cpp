#include "executor/dynamic_quantize.h"

#include <algorithm>
#include <cmath>

#include "executor/dynamic_exponent.h"
#include "executor/sizes.h"
#include "numeric.h"

namespace sub8::executor {
namespace {

constexpr std::int64_t kBlock = 1 << 12;

float as_float(std::uint64_t bits) {
    const auto narrow = static_cast<std::uint32_t>(bits);
    float value = 0;
    std::memcpy(&value, &narrow, sizeof value);
    return value;
}

}  // namespace

QuantizeLargest::QuantizeLargest(const Buffer& x, const PlanarShape& shape, const Buffer& largest)
    : LargestStep(largest, shape.batch), x_(x), shape_(shape) {
    reading(x, shape.count() * 4);
}

void QuantizeLargest::run(const Frame& frame, const Worker& worker) const {
    const float* x = reinterpret_cast<const float*>(x_.read(frame));
    std::uint64_t* const largest_of = slots(frame);
    const std::int64_t size = shape_.channels * shape_.plane;
    const std::int64_t blocks = pieces(size, kBlock);
    const Range part = share(shape_.batch * blocks, worker);
    for (std::int64_t block = part.begin; block < part.end; ++block) {
        const std::int64_t image = block / blocks, begin = block % blocks * kBlock;
        raise_to(largest_of + image, worker.kernels.largest_magnitude(
                                         x + image * size + begin, std::min(kBlock, size - begin)));
    }
}

QuantizeDynamic::QuantizeDynamic(const Buffer& x, const Buffer& out, const PlanarShape& shape,
                                 const ResultExponent& exponent)
    : x_(x), out_(out), shape_(shape), exponent_(exponent) {
    const std::int64_t count = shape.count();
    require(exponent.largest && exponent.chosen,
            "a chosen exponent needs the largest magnitudes and a place");
    reading(x, count * 4);
    reading(*exponent.largest, shape.batch * 8);
    writing(out, count);
    writing(*exponent.chosen, shape.batch * 4);
}

void QuantizeDynamic::run(const Frame& frame, const Worker& worker) const {
    const float* x = reinterpret_cast<const float*>(x_.read(frame));
    const auto* largest = reinterpret_cast<const std::uint64_t*>(exponent_.largest->read(frame));
    const auto chosen = [&](std::int64_t image) {
        const double value = as_float(largest[image]);
        // Where an image holds NaN the ladder of comparisons in the file fails at every step.
        if (value == 0.0 || std::isnan(value)) return kLowestExponent;
        if (std::isinf(value)) return kHighestExponent;
        return choose_exponent(floor_log2(value), exponent_.is_signed);
    };
    if (worker.share == 0) exponent_.write(frame, shape_.batch, chosen);
    std::uint8_t* out = out_.write(frame);
    const int low = exponent_.is_signed ? -128 : 0, high = low + 255;
    const std::int64_t channels = shape_.channels, plane = shape_.plane;
    constexpr std::int64_t kPositions = 256;
    const std::int64_t blocks = pieces(plane, kPositions);
    const Range part = share(shape_.batch * blocks, worker);
    for (std::int64_t block = part.begin; block < part.end; ++block) {
        const std::int64_t image = block / blocks, begin = block % blocks * kPositions;
        const std::int64_t size = std::min(kPositions, plane - begin);
        // Exact: exponents lie in -32..15, and so the scale and every quotient are normal floats or
        // tiny.
        const float scale = std::ldexp(1.0F, chosen(image));
        for (std::int64_t channel = 0; channel < channels; ++channel) {
            std::uint8_t row[kPositions];
            worker.kernels.quantize(x + (image * channels + channel) * plane + begin, size, scale,
                                    0, low, high, row);
            std::uint8_t* target = out + (image * plane + begin) * channels + channel;
            for (std::int64_t i = 0; i < size; ++i) target[i * channels] = row[i];
        }
    }
}

DequantizeDynamic::DequantizeDynamic(const Buffer& x, const Exponent& exponent, const Buffer& out,
                                     const PlanarShape& shape, bool is_signed)
    : x_(x), exponent_(exponent), out_(out), shape_(shape), is_signed_(is_signed) {
    const std::int64_t count = shape.count();
    exponent.check(shape.batch);
    reading(x, count);
    if (exponent.per_image) reading(*exponent.per_image, exponent.images * 4);
    writing(out, count * 4);
}

void DequantizeDynamic::run(const Frame& frame, const Worker& worker) const {
    const std::uint8_t* x = x_.read(frame);
    float* out = reinterpret_cast<float*>(out_.write(frame));
    const std::int64_t channels = shape_.channels, plane = shape_.plane;
    const Range part = share(shape_.batch * channels, worker);
    for (std::int64_t row = part.begin; row < part.end; ++row) {
        const std::int64_t image = row / channels;
        const float scale = static_cast<float>(std::ldexp(1.0, exponent_.of(frame, image)));
        const std::uint8_t* source = x + image * plane * channels + row % channels;
        for (std::int64_t i = 0; i < plane; ++i) {
            const std::uint8_t byte = source[i * channels];
            const int value = is_signed_ ? static_cast<std::int8_t>(byte) : byte;
            out[row * plane + i] = static_cast<float>(value) * scale;
        }
    }
}

}  // namespace sub8::executor
