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

int lowest(bool is_signed) { return is_signed ? -128 : 0; }

}  // namespace

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
    : FloatStep(x, shape, out, shape.count(), shape.batch, exponent, lowest(exponent.is_signed),
                lowest(exponent.is_signed) + 255) {
    require(exponent.largest && exponent.chosen,
            "a chosen exponent needs the largest magnitudes and a place");
}

void QuantizeDynamic::run(const Frame& frame, const Worker& worker) const {
    const float* x = reinterpret_cast<const float*>(x_.read(frame));
    const auto chosen = [&](std::int64_t image) {
        return exponent_of(frame, image, [&](std::uint64_t largest) {
            const double value = as_float(largest);
            // Where an image holds NaN the ladder of comparisons in the file fails at every step.
            if (value == 0.0 || std::isnan(value)) return kLowestExponent;
            if (std::isinf(value)) return kHighestExponent;
            return choose_exponent(floor_log2(value), exponent_.is_signed);
        });
    };
    write_exponents(frame, worker, chosen);
    std::uint8_t* out = out_.write(frame);
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
                                    0, low_, high_, row);
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
