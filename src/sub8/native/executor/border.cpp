#include "executor/border.h"

#include <algorithm>
#include <cmath>

#include "executor/sizes.h"

namespace sub8 {
namespace {

constexpr std::int64_t kBlock = 256;
constexpr std::int64_t kPlanes = 4;  // channels interleaved at once

// Blocks of at most kBlock positions of one plane.
struct Blocks {
    explicit Blocks(const BorderShape& shape)
        : per_plane((shape.plane + kBlock - 1) / kBlock), count(shape.batch * per_plane) {}
    std::int64_t per_plane;
    std::int64_t count;
};

}  // namespace

void check_format(const StaticFormat& format) {
    require(std::isfinite(format.scale) && format.scale > 0.0F,
            "a scale must be positive and finite");
    const int low = format.is_signed ? -128 : 0;
    require(format.zero_point >= low && format.zero_point <= low + 255,
            "a zero point lies outside of its type");
}

Quantize::Quantize(const Buffer& x, const Buffer& out, const BorderShape& shape,
                   const StaticFormat& format)
    : x_(x), out_(out), shape_(shape), format_(format) {
    const std::int64_t count = checked_product({shape.batch, shape.channels, shape.plane});
    check_format(format);
    reading(x, count * 4);
    writing(out, count);
}

void Quantize::run(const Frame& frame, const Worker& worker) const {
    const float* x = reinterpret_cast<const float*>(x_.read(frame));
    std::uint8_t* out = out_.write(frame);
    const int low = format_.is_signed ? -128 : 0, high = low + 255;
    const std::int64_t channels = shape_.channels, plane = shape_.plane;
    const Blocks blocks(shape_);
    const Range part = share(blocks.count, worker);
    for (std::int64_t block = part.begin; block < part.end; ++block) {
        const std::int64_t image = block / blocks.per_plane;
        const std::int64_t begin = block % blocks.per_plane * kBlock;
        const std::int64_t size = std::min(kBlock, plane - begin);
        const float* source = x + image * channels * plane + begin;
        std::uint8_t* target = out + (image * plane + begin) * channels;
        if (channels == 1) {
            worker.kernels.quantize(source, size, format_.scale, format_.zero_point, low, high,
                                    target);
            continue;
        }
        for (std::int64_t first = 0; first < channels; first += kPlanes) {
            const std::int64_t planes = std::min(kPlanes, channels - first);
            std::uint8_t rows[kPlanes * kBlock];
            for (std::int64_t i = 0; i < planes; ++i) {
                worker.kernels.quantize(source + (first + i) * plane, size, format_.scale,
                                        format_.zero_point, low, high, rows + i * kBlock);
            }
            worker.kernels.interleave(rows, kBlock, planes, size, target + first, channels);
        }
    }
}

Dequantize::Dequantize(const Buffer& x, const Buffer& out, const BorderShape& shape,
                       const StaticFormat& format)
    : x_(x), out_(out), shape_(shape), format_(format) {
    const std::int64_t count = checked_product({shape.batch, shape.channels, shape.plane});
    check_format(format);
    reading(x, count);
    writing(out, count * 4);
}

void Dequantize::run(const Frame& frame, const Worker& worker) const {
    const std::uint8_t* x = x_.read(frame);
    float* out = reinterpret_cast<float*>(out_.write(frame));
    const std::int64_t channels = shape_.channels, plane = shape_.plane;
    const Blocks blocks(shape_);
    const Range part = share(blocks.count, worker);
    for (std::int64_t block = part.begin; block < part.end; ++block) {
        const std::int64_t image = block / blocks.per_plane;
        const std::int64_t begin = block % blocks.per_plane * kBlock;
        const std::int64_t size = std::min(kBlock, plane - begin);
        const std::uint8_t* source = x + (image * plane + begin) * channels;
        float* target = out + image * channels * plane + begin;
        for (std::int64_t channel = 0; channel < channels; ++channel) {
            std::uint8_t row[kBlock];
            if (channels > 1) {
                for (std::int64_t i = 0; i < size; ++i) row[i] = source[i * channels + channel];
            }
            worker.kernels.dequantize(channels == 1 ? source : row, size, format_.is_signed,
                                      format_.zero_point, format_.scale, target + channel * plane);
        }
    }
}

}  // namespace sub8
