// The 7x7 kernel of stride 2 over an image's few channels, with which many networks begin.
//
// Two by two pixels make one of four times the channels (space to depth), on which the kernel is
// one of 4x4 and stride 1. Example, one row, padding 3, kernel w0..w6: pixels -3 -2 | -1 0 | 1 2 |
// 3 4 | ... are columns of two channels; output 0 is (w0 w1) (w2 w3) (w4 w5) (w6 0) of the first
// four, output 1 of the next. Its weights are few and are kept transformed.
#include "conv/winograd_stem.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <utility>

#include "conv/select.h"
#include "conv/winograd.h"

namespace sub8::conv {
namespace {

constexpr int kKernel = 7;
constexpr int kTaps = 4;  // of the kernel on the coarser grid, in each direction

struct alignas(64) Line {
    int16_t values[32];
};

// Channels of a column of the coarser grid: (row, column, channel) of two by two pixels, in pairs.
int pairs_of(const DenseWeights& weights) { return 2 * weights.shape().inputs; }

// [panels][points][pairs][panel][2], points `pitch` int16 apart; empty where one does not fit
// int16.
std::vector<Line> transformed(const DenseWeights& weights, int64_t pitch) {
    constexpr int points = int(std::size(kernels::kKernelTransform3x4));
    const int inputs = weights.shape().inputs, panel = weights.kernels().panel;
    const std::vector<int8_t> values = weights.unpack(0);
    std::vector<Line> lines(weights.panels_per_group() * points * points * pitch / 32, Line{});
    int16_t* const result = lines.data()->values;
    for (int output = 0; output < weights.shape().outputs; ++output) {
        for (int channel = 0; channel < 4 * inputs; ++channel) {
            const int down = channel / (2 * inputs), across = channel / inputs % 2;
            const int8_t* kernel =
                values.data() + (int64_t(output) * inputs + channel % inputs) * kKernel * kKernel;
            for (int point = 0; point < points * points; ++point) {
                const int* row = kernels::kKernelTransform3x4[point / points];
                const int* column = kernels::kKernelTransform3x4[point % points];
                int sum = 0;
                for (int y = down; y < kKernel; y += 2) {
                    for (int x = across; x < kKernel; x += 2)
                        sum += row[y / 2] * column[x / 2] * kernel[y * kKernel + x];
                }
                if (std::abs(sum) > INT16_MAX) return {};
                const int64_t place = int64_t(output / panel) * points * points + point;
                result[place * pitch + (channel / 2 * panel + output % panel) * 2 + channel % 2] =
                    int16_t(sum);
            }
        }
    }
    return lines;
}

// Of every output, in whole panels.
std::vector<int32_t> scales_of(const DenseWeights& weights) {
    std::vector<int32_t> scales(std::size_t(weights.panels_per_group()) * weights.kernels().panel,
                                0);
    for (int output = 0; output < weights.shape().outputs; ++output)
        scales[output] = alpha_of(weights, weights.streams()[0], output, 0, 0);
    return scales;
}

// Pixels 0 .. end - 1 of a row to columns of the coarser grid, of which the first begins `left`
// pixels further left; to: where the first column has its pixels of this row.
template <int inputs>
void pair_pixels(const uint8_t* from, int end, int left, uint8_t* to) {
    const auto column = [=](int x) {
        return to + int64_t(x + left) / 2 * kernels::kWinogradChannels;
    };
    int x = 0;
    if (left % 2 == 1 && end > 0) {
        std::memcpy(column(0) + inputs, from, inputs);
        x = 1;
    }
    for (; x + 1 < end; x += 2) std::memcpy(column(x), from + int64_t(x) * inputs, 2 * inputs);
    if (x < end) std::memcpy(column(x), from + int64_t(x) * inputs, inputs);
}

class WinogradStem : public WinogradConvolution {
  public:
    WinogradStem(std::shared_ptr<const PreparedLayer> layer, const DenseWeights& weights,
                 const ConvGeometry& geometry, const kernels::WinogradForm& form,
                 std::vector<int32_t> scales, std::vector<Line> transformed)
        : WinogradConvolution(std::move(layer), geometry, form, kernels::kWinogradChannels,
                              pairs_of(weights), std::move(scales), 0),
          transformed_(std::move(transformed)),
          panel_lines_(int64_t(transformed_.size()) / weights.panels_per_group()) {}

  private:
    void arrange_rows(const uint8_t* image, int first, int count, uint8_t* rows) const override {
        const int columns = arranged_columns(), inputs = weights().shape().inputs;
        const int left = geometry().pad_left;
        const int end = std::min(geometry().in_w, 2 * columns - left);
        const auto pair = inputs == 1   ? pair_pixels<1>
                          : inputs == 2 ? pair_pixels<2>
                                        : pair_pixels<3>;
        std::memset(rows, zero_point(), std::size_t(count) * columns * kernels::kWinogradChannels);
        for (int r = 0; r < 2 * count; ++r) {
            const int row = 2 * first + r - geometry().pad_top;
            if (row < 0 || row >= geometry().in_h) continue;
            pair(image + int64_t(row) * geometry().in_w * inputs, end, left,
                 rows + int64_t(r / 2) * columns * kernels::kWinogradChannels + r % 2 * 2 * inputs);
        }
    }

    const int16_t* transformed_weights(int64_t panel, uint8_t*) const override {
        return transformed_[panel * panel_lines_].values;
    }

    std::vector<Line> transformed_;
    int64_t panel_lines_;
};

bool suits(const DenseWeights& weights, const ConvGeometry& geometry) {
    const WeightShape& shape = weights.shape();
    // Folded: of three channels at most, which share one scale.
    return weights.streams().size() == 1 && weights.folded() && shape.kernel_h == kKernel &&
           shape.kernel_w == kKernel && geometry.stride_h == 2 && geometry.stride_w == 2 &&
           geometry.dilation_h == 1 && geometry.dilation_w == 1;
}

}  // namespace

std::unique_ptr<const Convolution> make_winograd_stem(std::shared_ptr<const PreparedLayer> layer,
                                                      const ConvGeometry& geometry) {
    const auto& weights = static_cast<const DenseWeights&>(layer->weights());
    const kernels::WinogradForms* forms = weights.kernels().winograd;
    if (forms == nullptr || !suits(weights, geometry)) return nullptr;
    const kernels::WinogradForm& form = forms->taps4;
    const WinogradTiling tiling(form, pairs_of(weights), geometry);
    if (!tiling.fits_cache() ||
        winograd_cost(tiling, weights) >= winograd_budget(weights, geometry)) {
        return nullptr;
    }
    const std::vector<int32_t> scales = scales_of(weights);
    if (!sums_fit(weights, scales, form)) return nullptr;
    std::vector<Line> lines = transformed(
        weights, WinogradConvolution::point_weights(pairs_of(weights), weights.kernels().panel));
    if (lines.empty()) return nullptr;
    return std::make_unique<WinogradStem>(std::move(layer), weights, geometry, form, scales,
                                          std::move(lines));
}

}  // namespace sub8::conv
