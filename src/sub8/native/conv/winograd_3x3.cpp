// 3x3 kernels of stride 1. Their weights stay 2, 4 or 8 bits wide in memory; a panel's are expanded
// and transformed when its turn comes.
#include "conv/winograd_3x3.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "conv/padded_row.h"
#include "conv/select.h"
#include "conv/winograd.h"

namespace sub8::conv {
namespace {

constexpr int kTaps = 9;

// Whether int16 holds every point of any kernel with such integers.
bool always_fits(int largest, int scale, const kernels::WinogradForm& form) {
    const auto largest_row = [](int outputs) { return outputs == 2 ? 3 : 1 + 2 + 4; };
    return largest * scale * largest_row(form.rows) * largest_row(form.columns) <= INT16_MAX;
}

// Whether int16 holds every point of one channel's kernel.
bool transform_fits(const int8_t* taps, int scale, const kernels::WinogradForm& form) {
    const auto matrix = [](int outputs) {
        return outputs == 2 ? kernels::kKernelTransform2x3 : kernels::kKernelTransform4x3;
    };
    int largest = 0;
    for (int tap = 0; tap < kTaps; ++tap) largest = std::max(largest, std::abs(int(taps[tap])));
    if (always_fits(largest, scale, form)) return true;
    for (int i = 0; i < form.rows + 2; ++i) {
        for (int j = 0; j < form.columns + 2; ++j) {
            int sum = 0;
            for (int tap = 0; tap < kTaps; ++tap)
                sum += matrix(form.rows)[i][tap / 3] * matrix(form.columns)[j][tap % 3] * taps[tap];
            if (std::abs(sum * scale) > INT16_MAX) return false;
        }
    }
    return true;
}

// One stream of a layer, as the weights' transform reads it.
class Taps {
  public:
    // Whether every step is one tap of whole pairs of channels (2q, 2q + 1), or of none.
    static bool readable(const Stream& stream) {
        for (const Slot& slot : stream.slots) {
            for (int lane = 0; lane < stream.lanes(); lane += 2) {
                const bool none = slot[lane] < 0 && slot[lane + 1] < 0;
                const bool pair = slot[lane] % 2 == 0 && slot[lane + 1] == slot[lane] + 1;
                if (!none && !pair) return false;
            }
        }
        return true;
    }

    Taps(const DenseWeights& weights, std::size_t number)
        : weights_(weights), number_(number), stream_(weights.streams()[number]), one_scale_(true) {
        const int lanes = stream_.lanes();
        int run = 0, end = stream_.run_steps[0];
        for (std::size_t slot = 0; slot < stream_.slots.size(); ++slot) {
            while (int(slot) * kTaps >= end) end += stream_.run_steps[++run];
            runs_.push_back(run);
            for (int lane = 0; lane < lanes; lane += 2) {
                const int channel = stream_.slots[slot][lane];
                pairs_.push_back(channel < 0 ? -1 : channel / 2);
            }
        }
        const int runs = int(stream_.run_steps.size());
        for (int output = 0; output < weights.shape().outputs; ++output) {
            factors_.push_back(alpha_of(weights, stream_, output, 0, 0));
            for (run = 0; run < runs; ++run) {
                for (int half = 0; half < 2; ++half) {
                    const int scale = alpha_of(weights, stream_, output, run, half);
                    one_scale_ = one_scale_ && scale == factors_[output];
                    largest_scale_ = std::max(largest_scale_, scale);
                }
            }
        }
    }

    const Stream& stream() const { return stream_; }
    // Of each slot.
    const std::vector<int32_t>& runs() const { return runs_; }
    // Of each half of each slot; -1: none.
    const std::vector<int32_t>& pairs() const { return pairs_; }
    // Every output has one scale, which its sums may be multiplied with in the end.
    bool one_scale() const { return one_scale_; }
    // Those scales, the first where there are several.
    const std::vector<int32_t>& factors() const { return factors_; }
    int largest_scale() const { return largest_scale_; }

    // Whether no transformed weight leaves int16. values: of unpack, filled when first needed.
    bool fit(const kernels::WinogradForm& form, bool scaled, std::vector<int8_t>* values) const {
        if (values->empty()) *values = weights_.unpack(number_);
        const int inputs = weights_.shape().inputs, lanes = stream_.lanes();
        for (int output = 0; output < weights_.shape().outputs; ++output) {
            for (std::size_t slot = 0; slot < stream_.slots.size(); ++slot) {
                for (int lane = 0; lane < lanes; ++lane) {
                    if (stream_.slots[slot][lane] < 0) continue;
                    const int half = lanes == 4 ? lane / 2 : lane;
                    const int scale =
                        scaled ? alpha_of(weights_, stream_, output, runs_[slot], half) : 1;
                    const int64_t channel = int64_t(output) * inputs + stream_.slots[slot][lane];
                    if (!transform_fits(values->data() + channel * kTaps, scale, form))
                        return false;
                }
            }
        }
        return true;
    }

  private:
    const DenseWeights& weights_;
    std::size_t number_;
    const Stream& stream_;
    bool one_scale_;
    int largest_scale_ = 0;
    std::vector<int32_t> runs_;
    std::vector<int32_t> pairs_;
    std::vector<int32_t> factors_;
};

// All streams of a layer, whose transformed weights are added up.
class Terms {
  public:
    static bool readable(const DenseWeights& weights) {
        const WeightShape& shape = weights.shape();
        if (weights.folded() || shape.groups != 1) return false;
        if (shape.kernel_h != 3 || shape.kernel_w != 3) return false;
        if (shape.inputs % kernels::kWinogradChannels != 0) return false;
        const std::vector<Stream>& streams = weights.streams();
        return std::all_of(streams.begin(), streams.end(), [](const Stream& stream) {
            return stream.shift_after == 0 && Taps::readable(stream);
        });
    }

    explicit Terms(const DenseWeights& weights) : weights_(weights) {
        for (std::size_t number = 0; number < weights.streams().size(); ++number)
            taps_.emplace_back(weights, number);
        one_scale_ = std::all_of(taps_.begin(), taps_.end(), [this](const Taps& taps) {
            return taps.one_scale() && taps.factors() == taps_[0].factors();
        });
    }

    const std::vector<Taps>& all() const { return taps_; }
    // Every output has one scale, which its sums may be multiplied with in the end.
    bool one_scale() const { return one_scale_; }
    // Those scales, in whole panels; empty where there are several.
    std::vector<int32_t> factors() const {
        if (!one_scale_) return {};
        std::vector<int32_t> all = taps_[0].factors();
        all.resize(std::size_t(weights_.panels_per_group()) * weights_.kernels().panel, 0);
        return all;
    }

    // No transformed weight leaves int16, no sum what `form` can bring back. values: as above.
    bool fit(const kernels::WinogradForm& form, std::vector<int8_t>* values) const {
        if (!sums_fit(weights_, factors(), form)) return false;
        int largest = 0;
        for (const Taps& taps : taps_) {
            largest += taps.stream().format->largest * (one_scale_ ? 1 : taps.largest_scale());
        }
        if (always_fits(largest, 1, form)) return true;
        return taps_.size() == 1 && taps_[0].fit(form, !one_scale_, values);
    }

  private:
    const DenseWeights& weights_;
    std::vector<Taps> taps_;
    bool one_scale_;
};

class Winograd3x3 : public WinogradConvolution {
  public:
    Winograd3x3(std::shared_ptr<const PreparedLayer> layer, const DenseWeights& weights,
                const ConvGeometry& geometry, const kernels::WinogradForm& form, Terms terms)
        : WinogradConvolution(std::move(layer), geometry, form, weights.shape().inputs,
                              weights.shape().inputs / 2, terms.factors(), memory(form, weights)),
          form_(form),
          terms_(std::move(terms)) {}

  private:
    static int64_t code_bytes(const DenseWeights& weights) {
        int64_t most = 0;
        for (const Stream& stream : weights.streams()) {
            int64_t vectors = 0;
            for (const Block& block : stream.blocks) vectors += block.vectors;
            most = std::max(most, vectors);
        }
        return most * 2 * weights.kernels().panel;
    }

    static int64_t point_size(const DenseWeights& weights) {
        return point_weights(weights.shape().inputs / 2, weights.kernels().panel);
    }

    static int64_t transformed_bytes(const kernels::WinogradForm& form,
                                     const DenseWeights& weights) {
        return form.points() * point_size(weights) * int64_t(sizeof(int16_t));
    }

    // Transformed weights of all streams and, where there are several, of one; its codes.
    static int64_t memory(const kernels::WinogradForm& form, const DenseWeights& weights) {
        const int copies = weights.streams().size() > 1 ? 2 : 1;
        return copies * transformed_bytes(form, weights) + code_bytes(weights);
    }

    void arrange_rows(const uint8_t* image, int first, int count, uint8_t* rows) const override {
        const int64_t channels = weights().shape().inputs;
        const int64_t columns = arranged_columns();
        for (int r = 0; r < count; ++r, rows += columns * channels) {
            copy_padded_row(image, geometry(), first + r - geometry().pad_top, channels, columns,
                            zero_point(), rows);
        }
    }

    const int16_t* transformed_weights(int64_t panel, uint8_t* scratch) const override {
        const int64_t bytes = transformed_bytes(form_, weights());
        auto* const all = reinterpret_cast<int16_t*>(scratch);
        auto* const codes =
            reinterpret_cast<int8_t*>(scratch + memory(form_, weights()) - code_bytes(weights()));
        transform(terms_.all()[0], panel, codes, all);
        for (std::size_t number = 1; number < terms_.all().size(); ++number) {
            auto* const one = reinterpret_cast<int16_t*>(scratch + bytes);
            transform(terms_.all()[number], panel, codes, one);
            const int64_t count = bytes / int64_t(sizeof(int16_t));
            for (int64_t i = 0; i < count; ++i) all[i] = int16_t(all[i] + one[i]);
        }
        return all;
    }

    void transform(const Taps& taps, int64_t panel, int8_t* codes, int16_t* out) const {
        const kernels::KernelSet& kernels = weights().kernels();
        const Stream& stream = taps.stream();
        const int64_t step = int64_t(kernels.panel) * stream.lanes();
        kernels::WinogradWeights arguments;
        arguments.codes = codes;
        if (stream.format->expand == nullptr) {
            arguments.codes =
                reinterpret_cast<const int8_t*>(stream.codes.data()) + panel * stream.panel_bytes;
        } else {
            for (const Block& block : stream.blocks)
                stream.expanded(kernels, block, panel, codes + block.first_step * step);
        }
        arguments.lanes = stream.lanes();
        arguments.slots = int(stream.slots.size());
        arguments.alpha = nullptr;
        if (!terms_.one_scale()) {
            arguments.alpha =
                stream.alpha.data() + panel * int64_t(stream.run_steps.size()) * kernels.panel * 2;
        }
        arguments.alpha_runs = taps.runs().data();
        arguments.pairs = taps.pairs().data();
        arguments.out = out;
        arguments.point_pitch = point_size(weights());
        form_.weights(arguments);
    }

    const kernels::WinogradForm& form_;
    Terms terms_;
};

}  // namespace

std::unique_ptr<const Convolution> make_winograd_3x3(std::shared_ptr<const PreparedLayer> layer,
                                                     const ConvGeometry& geometry) {
    const auto& weights = static_cast<const DenseWeights&>(layer->weights());
    const kernels::WinogradForms* forms = weights.kernels().winograd;
    if (forms == nullptr || geometry.stride_h != 1 || geometry.stride_w != 1 ||
        geometry.dilation_h != 1 || geometry.dilation_w != 1 || !Terms::readable(weights)) {
        return nullptr;
    }
    Terms terms(weights);
    const int pairs = weights.shape().inputs / 2;
    std::vector<int8_t> values;
    double least = winograd_budget(weights, geometry);
    const kernels::WinogradForm* best = nullptr;
    for (const kernels::WinogradForm& form : forms->taps3) {
        const WinogradTiling tiling(form, pairs, geometry);
        const double cost = winograd_cost(tiling, weights);
        if (cost >= least || !tiling.fits_cache() || !terms.fit(form, &values)) continue;
        least = cost;
        best = &form;
    }
    if (best == nullptr) return nullptr;
    return std::make_unique<Winograd3x3>(std::move(layer), weights, geometry, *best,
                                         std::move(terms));
}

}  // namespace sub8::conv
