// The driver of 3x3 convolutions of stride 1 by Winograd's transforms (kernels/winograd.h).
//
// For a chunk of rows of tiles: its inputs are transformed once; then for every panel of outputs
// the weights are expanded and transformed (they stay 2, 4 or 8 bits wide in memory), each point's
// products summed over the channels by the int16 tile kernels, and the sums transformed back into
// accumulators for the epilogue.
#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "conv/even_cut.h"
#include "conv/layers.h"
#include "conv/requantize.h"
#include "conv/share.h"
#include "kernels/winograd.h"

namespace sub8 {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kLine = 64;
constexpr int kTaps = 9;
// Transformed inputs of a chunk should leave the second-level cache room for a panel's weights.
constexpr int64_t kChunkBytes = 512 * 1024;
// Tiles that the input transform writes at once.
constexpr int kTilesAtOnce = 8;
// Vector instructions per result of the input and the kernel transform, and the share of the direct
// form's instructions below which transforms were measured to be faster.
constexpr double kInputEffort = 24.0, kWeightEffort = 9.0, kWorthwhile = 0.9;

int64_t aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// So many cache lines as the next odd number: what lies that far apart falls into different sets.
int64_t odd_lines(int64_t bytes) { return (bytes + kLine - 1) / kLine * kLine | kLine; }

int pieces(int length, int size) { return (length + size - 1) / size; }

// The one stream of a layer, as the weights' transform reads it.
class Taps {
  public:
    // Whether every step is one tap of whole pairs of channels (2q, 2q + 1).
    static bool readable(const DenseWeights& weights) {
        const WeightShape& shape = weights.shape();
        if (weights.streams().size() != 1 || weights.folded() || shape.groups != 1) return false;
        if (shape.kernel_h != 3 || shape.kernel_w != 3) return false;
        if (shape.inputs % kWinogradChannels != 0) return false;
        const Stream& stream = weights.streams()[0];
        for (const Slot& slot : stream.slots) {
            for (int lane = 0; lane < stream.lanes(); lane += 2) {
                if (slot[lane] < 0 || slot[lane] % 2 != 0 || slot[lane + 1] != slot[lane] + 1)
                    return false;
            }
        }
        return true;
    }

    explicit Taps(const DenseWeights& weights)
        : weights_(weights),
          stream_(weights.streams()[0]),
          panel_(weights.kernels().panel),
          one_scale_(true) {
        const int lanes = stream_.lanes();
        int run = 0, end = stream_.run_steps[0];
        for (std::size_t slot = 0; slot < stream_.slots.size(); ++slot) {
            while (int(slot) * kTaps >= end) end += stream_.run_steps[++run];
            runs_.push_back(run);
            for (int lane = 0; lane < lanes; lane += 2)
                pairs_.push_back(stream_.slots[slot][lane] / 2);
        }
        for (int output = 0; output < weights.shape().outputs; ++output) {
            factors_.push_back(alpha(output, 0, 0));
            for (std::size_t slot = 0; slot < stream_.slots.size(); ++slot) {
                for (int half = 0; half < 2; ++half)
                    one_scale_ = one_scale_ && alpha(output, int(slot), half) == factors_[output];
            }
        }
        if (!one_scale_) factors_.assign(factors_.size(), 1);
        // Whole panels are read.
        factors_.resize(factors_.size() + panel_, 0);
    }

    const Stream& stream() const { return stream_; }
    // Of each slot.
    const std::vector<int32_t>& runs() const { return runs_; }
    // Of each half of each slot.
    const std::vector<int32_t>& pairs() const { return pairs_; }
    // Every output has one scale, which its sums may be multiplied with in the end.
    bool one_scale() const { return one_scale_; }
    const std::vector<int32_t>& factors() const { return factors_; }

    // No transformed weight leaves int16, no sum what `form` can bring back.
    bool fit(const WinogradKernels& form) const {
        for (int output = 0; output < weights_.shape().outputs; ++output) {
            // Sums of uint8 times integers of one sign, the larger.
            const int64_t most =
                (weights_.bounds()[output] + 255 * std::abs(weights_.sums()[output])) / 2;
            if (most / std::max(factors_[output], 1) >= int64_t(1) << (31 - form.shift))
                return false;
        }
        return transforms_fit(form);
    }

  private:
    int alpha(int output, int slot, int half) const {
        const int64_t run =
            int64_t(output / panel_) * int64_t(stream_.run_steps.size()) + runs_[slot];
        return stream_.alpha[(run * panel_ + output % panel_) * 2 + half];
    }

    bool transforms_fit(const WinogradKernels& form) const {
        const auto growth = [](int outputs) { return outputs == 2 ? 3 : 7; };
        const auto rows = [](int outputs) {
            return outputs == 2 ? kKernelTransform2 : kKernelTransform4;
        };
        const int most = INT16_MAX / (growth(form.rows) * growth(form.columns));
        const int inputs = weights_.shape().inputs, lanes = stream_.lanes();
        const std::vector<int8_t> values = weights_.unpack(0);
        for (int output = 0; output < weights_.shape().outputs; ++output) {
            for (std::size_t slot = 0; slot < stream_.slots.size(); ++slot) {
                for (int lane = 0; lane < lanes; ++lane) {
                    const int half = lanes == 4 ? lane / 2 : lane;
                    const int scale = one_scale_ ? 1 : alpha(output, int(slot), half);
                    const int8_t* taps =
                        values.data() +
                        (int64_t(output) * inputs + stream_.slots[slot][lane]) * kTaps;
                    int largest = 0;
                    for (int tap = 0; tap < kTaps; ++tap)
                        largest = std::max(largest, std::abs(int(taps[tap])));
                    if (largest * scale <= most) continue;
                    for (int i = 0; i < form.rows + 2; ++i) {
                        for (int j = 0; j < form.columns + 2; ++j) {
                            int sum = 0;
                            for (int tap = 0; tap < kTaps; ++tap) {
                                sum += rows(form.rows)[i][tap / 3] *
                                       rows(form.columns)[j][tap % 3] * taps[tap];
                            }
                            if (std::abs(sum * scale) > INT16_MAX) return false;
                        }
                    }
                }
            }
        }
        return true;
    }

    const DenseWeights& weights_;
    const Stream& stream_;
    int panel_;
    bool one_scale_;
    std::vector<int32_t> runs_;
    std::vector<int32_t> pairs_;
    std::vector<int32_t> factors_;
};

// Sizes of a layer in one form.
struct Tiling {
    Tiling(const WinogradKernels& form, const DenseWeights& weights, const ConvGeometry& geometry)
        : points(form.points()),
          pairs(weights.shape().inputs / 2),
          across(pieces(geometry.out_w, form.columns)),
          down(pieces(geometry.out_h, form.rows)),
          units(int64_t(geometry.batch) * down) {
        const int64_t unit_bytes = int64_t(points) * pairs * across * int64_t(sizeof(uint32_t));
        const int64_t largest = std::max<int64_t>(1, std::min(units, kChunkBytes / unit_bytes));
        chunk = int(pieces(int(units), pieces(int(units), int(largest))));
        const int writes = pieces(across, kTilesAtOnce) * kTilesAtOnce;
        pair_pitch = (int64_t(chunk) - 1) * across + writes;
        point_bytes = odd_lines(pairs * pair_pitch * int64_t(sizeof(uint32_t)));
    }

    // Vector instructions of tiles, inputs and weights; a panel has two vectors.
    Effort effort() const {
        Effort effort;
        effort.both = across * (points * (4.0 * pairs + 16.0));
        effort.unit = across * (points * pairs / 8.0 * kInputEffort);
        effort.panel = points * (2.0 * pairs * kWeightEffort);
        return effort;
    }

    int points;
    int pairs;
    int across;           // tiles in a row
    int down;             // rows of tiles in an image
    int64_t units;        // rows of tiles in the batch
    int chunk;            // units that are worked on together
    int64_t pair_pitch;   // words from pair to pair of transformed inputs
    int64_t point_bytes;  // of transformed inputs
};

class WinogradConvolution : public Convolution {
  public:
    WinogradConvolution(std::shared_ptr<const DenseWeights> weights, const ConvGeometry& geometry,
                        const InputFormat& input, const Epilogue& epilogue,
                        const WinogradKernels& form)
        : weights_(std::move(weights)),
          kernels_(weights_->kernels()),
          form_(form),
          geometry_(geometry),
          zero_point_(uint8_t(input.zero_point)),
          flip_(input.is_signed ? 0x80 : 0),
          taps_(*weights_),
          tiling_(form, *weights_, geometry),
          epilogue_(kernels_, *weights_, input.zero_point + (input.is_signed ? 128 : 0), epilogue) {
        const int panel = kernels_.panel;
        const int64_t tiles = int64_t(tiling_.chunk) * tiling_.across;
        for (int pair = 0; pair < tiling_.pairs; ++pair)
            offsets_.push_back(int32_t(pair * tiling_.pair_pitch * int64_t(sizeof(uint32_t))));
        int64_t vectors = 0;
        for (const Block& block : taps_.stream().blocks) vectors += block.vectors;
        codes_bytes_ = aligned(vectors * 2 * panel);
        rows_bytes_ = aligned((form.rows + 2) * row_bytes());
        inputs_bytes_ = tiling_.points * tiling_.point_bytes;
        weights_bytes_ = tiling_.points * point_weights() * int64_t(sizeof(int16_t));
        products_bytes_ = tiling_.points * point_products(tiles) * int64_t(sizeof(int32_t));
        acc_bytes_ = aligned(form.rows * acc_pitch() * int64_t(sizeof(int32_t)));
    }

    std::string algorithm() const override {
        return "winograd " + std::to_string(form_.rows) + "x" + std::to_string(form_.columns);
    }

    std::size_t scratch_bytes(int) const override {
        return std::size_t(codes_bytes_ + rows_bytes_ + inputs_bytes_ + weights_bytes_ +
                           products_bytes_ + acc_bytes_);
    }

    void run(const void* input, const void* residual, void* output, void* scratch, int share,
             int shares, bool) const override {
        assert(share >= 0 && share < shares);
        assert(!epilogue_.needs_residual() || residual != nullptr);
        assert(reinterpret_cast<uintptr_t>(scratch) % kAlignment == 0);
        uint8_t* memory = static_cast<uint8_t*>(scratch);
        const auto take = [&memory](int64_t bytes) {
            uint8_t* const taken = memory;
            memory += bytes;
            return taken;
        };
        Work work;
        work.codes = reinterpret_cast<int8_t*>(take(codes_bytes_));
        work.rows = take(rows_bytes_);
        work.inputs = reinterpret_cast<uint32_t*>(take(inputs_bytes_));
        work.weights = reinterpret_cast<int16_t*>(take(weights_bytes_));
        work.products = reinterpret_cast<int32_t*>(take(products_bytes_));
        work.acc = reinterpret_cast<int32_t*>(take(acc_bytes_));
        const Share part =
            cut_share(tiling_.units, weights_->panels_per_group(), tiling_.effort(), share, shares);
        for (int64_t unit = part.first_unit; unit < part.end_unit; unit += tiling_.chunk) {
            const int units = int(std::min<int64_t>(tiling_.chunk, part.end_unit - unit));
            if (part.first_panel == part.end_panel) continue;
            for (int u = 0; u < units; ++u)
                transform_inputs(static_cast<const uint8_t*>(input), unit + u, u, work);
            for (int64_t panel = part.first_panel; panel < part.end_panel; ++panel) {
                transform_weights(panel, work);
                multiply(units * tiling_.across, work);
                for (int u = 0; u < units; ++u)
                    finish(unit + u, u, units, panel, residual, output, work);
            }
        }
    }

  private:
    struct Work {
        int8_t* codes;
        uint8_t* rows;
        uint32_t* inputs;
        int16_t* weights;
        int32_t* products;
        int32_t* acc;
    };

    int64_t row_bytes() const {
        return (int64_t(tiling_.across) * form_.columns + 2) * weights_->shape().inputs;
    }
    // int16 from point to point.
    int64_t point_weights() const {
        return odd_lines(int64_t(tiling_.pairs) * kernels_.panel * 4) / int64_t(sizeof(int16_t));
    }
    // int32 from point to point.
    int64_t point_products(int64_t tiles) const {
        return odd_lines(tiles * kernels_.panel * 4) / int64_t(sizeof(int32_t));
    }
    // int32 from output row to output row.
    int64_t acc_pitch() const { return int64_t(tiling_.across) * form_.columns * kernels_.panel; }

    // Of a row of tiles, number `place` of its chunk.
    void transform_inputs(const uint8_t* input, int64_t unit, int place, const Work& work) const {
        const int64_t channels = weights_->shape().inputs;
        const int64_t image = unit / tiling_.down;
        const int top = int(unit % tiling_.down) * form_.rows - geometry_.pad_top;
        const int64_t columns = row_bytes() / channels;
        const int64_t left = std::min<int64_t>(geometry_.pad_left, columns);
        const int64_t inside = std::min<int64_t>(geometry_.in_w, columns - left);
        for (int r = 0; r < form_.rows + 2; ++r) {
            uint8_t* to = work.rows + r * row_bytes();
            const int row = top + r;
            if (row < 0 || row >= geometry_.in_h) {
                std::memset(to, zero_point_, std::size_t(row_bytes()));
                continue;
            }
            const int64_t start = (image * geometry_.in_h + row) * geometry_.in_w * channels;
            std::memset(to, zero_point_, std::size_t(left * channels));
            std::memcpy(to + left * channels, input + start, std::size_t(inside * channels));
            std::memset(to + (left + inside) * channels, zero_point_,
                        std::size_t((columns - left - inside) * channels));
        }
        WinogradInput rows;
        rows.input = work.rows;
        rows.pitch = row_bytes();
        rows.channels = int(channels);
        rows.tiles = tiling_.across;
        rows.flip = flip_;
        rows.out = work.inputs + int64_t(place) * tiling_.across;
        rows.point_pitch = tiling_.point_bytes / int64_t(sizeof(uint32_t));
        rows.pair_pitch = tiling_.pair_pitch;
        form_.input(rows);
    }

    void transform_weights(int64_t panel, const Work& work) const {
        const Stream& stream = taps_.stream();
        const uint8_t* packed = stream.codes.data() + panel * stream.panel_bytes;
        const int64_t step = int64_t(kernels_.panel) * stream.lanes();
        WinogradWeights weights;
        weights.codes = work.codes;
        if (stream.kind == WeightKind::int8) {
            weights.codes = reinterpret_cast<const int8_t*>(packed);
        } else {
            const auto expand =
                stream.kind == WeightKind::ternary ? kernels_.expand2 : kernels_.expand4;
            for (const Block& block : stream.blocks)
                expand(packed + block.offset, block.vectors, work.codes + block.first_step * step);
        }
        weights.lanes = stream.lanes();
        weights.slots = int(stream.slots.size());
        weights.alpha = nullptr;
        if (!taps_.one_scale()) {
            weights.alpha =
                stream.alpha.data() + panel * int64_t(stream.run_steps.size()) * kernels_.panel * 2;
        }
        weights.alpha_runs = taps_.runs().data();
        weights.pairs = taps_.pairs().data();
        weights.out = work.weights;
        weights.point_pitch = point_weights();
        form_.weights(weights);
    }

    void multiply(int tiles, const Work& work) const {
        const EvenCut cut(tiles, kernels_.rows);
        TileArguments tile{};
        tile.offsets = offsets_.data();
        tile.steps = tiling_.pairs;
        tile.first = true;
        for (int point = 0; point < tiling_.points; ++point) {
            tile.activations =
                reinterpret_cast<const uint8_t*>(work.inputs) + point * tiling_.point_bytes;
            tile.weights = work.weights + point * point_weights();
            tile.acc = work.products + point * point_products(tiles);
            for (int t = 0; t < cut.pieces(); t += tile.tiles) {
                const int rows = cut.length(t);
                tile.tiles = cut.alike(t);
                kernels_.wide16[rows](tile);
                const int done = tile.tiles * rows;
                tile.activations += 4 * done;
                tile.acc += int64_t(done) * kernels_.panel;
            }
        }
    }

    // Of a row of tiles, number `place` of its chunk of `units`.
    void finish(int64_t unit, int place, int units, int64_t panel, const void* residual,
                void* output, const Work& work) const {
        const int first = int(panel) * kernels_.panel;
        WinogradOutput tiles;
        tiles.products = work.products + int64_t(place) * tiling_.across * kernels_.panel;
        tiles.point_pitch = point_products(int64_t(units) * tiling_.across);
        tiles.tiles = tiling_.across;
        tiles.factor = taps_.one_scale() ? taps_.factors().data() + first : nullptr;
        tiles.acc = work.acc;
        tiles.row_pitch = acc_pitch();
        form_.output(tiles);
        const int columns = std::min(kernels_.panel, weights_->shape().outputs - first);
        const int64_t image = unit / tiling_.down;
        const int row = int(unit % tiling_.down) * form_.rows;
        for (int r = 0; r < std::min(form_.rows, geometry_.out_h - row); ++r) {
            const int64_t position = (image * geometry_.out_h + row + r) * int64_t(geometry_.out_w);
            epilogue_.apply(work.acc + r * acc_pitch(), kernels_.panel, geometry_.out_w, columns,
                            first, position, residual, output);
        }
    }

    std::shared_ptr<const DenseWeights> weights_;
    const Kernels& kernels_;
    const WinogradKernels& form_;
    ConvGeometry geometry_;
    uint8_t zero_point_;
    uint8_t flip_;
    Taps taps_;
    Tiling tiling_;
    PreparedEpilogue epilogue_;
    std::vector<int32_t> offsets_;  // bytes from pair to pair of transformed inputs
    int64_t codes_bytes_;
    int64_t rows_bytes_;
    int64_t inputs_bytes_;
    int64_t weights_bytes_;
    int64_t products_bytes_;
    int64_t acc_bytes_;
};

// Vector instructions of the whole layer.
double total_effort(const Tiling& tiling, int panels) {
    const Effort effort = tiling.effort();
    const double chunks = double((tiling.units + tiling.chunk - 1) / tiling.chunk);
    return (effort.both * panels + effort.unit) * double(tiling.units) +
           effort.panel * panels * chunks;
}

double direct_effort(const DenseWeights& weights, const ConvGeometry& geometry) {
    const Stream& stream = weights.streams()[0];
    const double positions = double(geometry.batch) * geometry.out_h * geometry.out_w;
    const double runs =
        stream.arithmetic == Arithmetic::runs16 ? double(stream.run_steps.size()) : 0.0;
    return 4.0 * (double(stream.steps.size()) + runs) * positions * weights.panels_per_group();
}

}  // namespace

std::unique_ptr<const Convolution> make_winograd(std::shared_ptr<const DenseWeights> weights,
                                                 const ConvGeometry& geometry,
                                                 const InputFormat& input,
                                                 const Epilogue& epilogue) {
    const WinogradKernels* forms = weights->kernels().winograd;
    if (forms == nullptr || geometry.stride_h != 1 || geometry.stride_w != 1 ||
        geometry.dilation_h != 1 || geometry.dilation_w != 1 || !Taps::readable(*weights)) {
        return nullptr;
    }
    const Taps taps(*weights);
    const int panels = weights->panels_per_group();
    double least = kWorthwhile * direct_effort(*weights, geometry);
    const WinogradKernels* best = nullptr;
    for (int index = 0; index < kWinogradForms; ++index) {
        const double effort = total_effort(Tiling(forms[index], *weights, geometry), panels);
        if (effort >= least || !taps.fit(forms[index])) continue;
        least = effort;
        best = forms + index;
    }
    if (best == nullptr) return nullptr;
    return std::make_unique<WinogradConvolution>(std::move(weights), geometry, input, epilogue,
                                                 *best);
}

}  // namespace sub8
