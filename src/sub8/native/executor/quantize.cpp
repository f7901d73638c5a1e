#include "executor/quantize.h"

#include <algorithm>
#include <cmath>

#include "executor/sizes.h"
#include "numeric.h"

namespace sub8::executor {
namespace {

constexpr std::int64_t kBlock = 256;
constexpr std::int64_t kPlanes = 4;  // channels interleaved at once

// Calls visit(image, begin, size) for this worker's share of the blocks of at most kBlock positions
// of one plane.
template <typename Visit>
void for_blocks(const PlanarShape& shape, const Worker& worker, const Visit& visit) {
    const std::int64_t per_plane = pieces(shape.plane, kBlock);
    const Range part = share(shape.batch * per_plane, worker);
    for (std::int64_t block = part.begin; block < part.end; ++block) {
        const std::int64_t begin = block % per_plane * kBlock;
        visit(block / per_plane, begin, std::min(kBlock, shape.plane - begin));
    }
}

}  // namespace

void check_format(const StaticFormat& format) {
    require(std::isfinite(format.scale) && format.scale > 0.0F,
            "a scale must be positive and finite");
    const int low = format.is_signed ? -128 : 0;
    require(format.zero_point >= low && format.zero_point <= low + 255,
            "a zero point lies outside of its type");
}

void Quantize::run(const Frame& frame, const Worker& worker) const {
    const float* x = reinterpret_cast<const float*>(x_.read(frame));
    std::uint8_t* out = out_.write(frame);
    const int low = format_.is_signed ? -128 : 0, high = low + 255;
    const std::int64_t channels = shape_.channels, plane = shape_.plane;
    for_blocks(shape_, worker, [&](std::int64_t image, std::int64_t begin, std::int64_t size) {
        const float* source = x + image * channels * plane + begin;
        std::uint8_t* target = out + (image * plane + begin) * channels;
        if (channels == 1) {
            worker.kernels.quantize(source, size, format_.scale, format_.zero_point, low, high,
                                    target);
            return;
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
    });
}

void Dequantize::run(const Frame& frame, const Worker& worker) const {
    const std::uint8_t* x = x_.read(frame);
    float* out = reinterpret_cast<float*>(out_.write(frame));
    const std::int64_t channels = shape_.channels, plane = shape_.plane;
    for_blocks(shape_, worker, [&](std::int64_t image, std::int64_t begin, std::int64_t size) {
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
    });
}

}  // namespace sub8::executor
