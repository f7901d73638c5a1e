#include "conv/select.h"

#include <algorithm>
#include <utility>

#include "conv/dense.h"
#include "conv/depthwise.h"
#include "conv/depthwise_lines.h"
#include "conv/depthwise_weights.h"
#include "conv/side_by_side.h"
#include "conv/winograd_3x3.h"
#include "conv/winograd_stem.h"
#include "numeric.h"

namespace sub8::conv {
namespace {

using kernels::Arithmetic;

// --- Accumulation: vector instructions per tile row and panel vector, in multiples of one
// multiply; measured proportions.

constexpr double kStep = 1.0;
constexpr double kWideStep = 1.1;  // of two channels only, of which there are twice as many
constexpr double kRun = 1.0;
// Dot products of runs, on AVX-512: short runs' totals leave registers to smaller tiles, those of
// more than int16 take two multiplications and a trip to memory.
constexpr double kShortDotStep = 1.07, kShortDotRun = 1.5, kWideDotRun = 3.7;
// dot's weights times their scales, once a panel and chunk of positions.
constexpr double kScaledStep = 1.05;
// From about a dozen steps a run, the larger tile of runs16 repays its trips to memory.
constexpr int64_t kFewSteps = 10;

// --- Rows. Up to kMostRows it is faster to unpack the weights anew for each than to expand them
// into memory. Shares: so many per thread, of at least so many packed bytes (about 8 microseconds).

constexpr int64_t kRowShares = 8;
constexpr int64_t kRowShareBytes = 256 * 1024;

// --- Efforts of a direct layer: a step's products, gathering a slot, expanding a step's weights.

constexpr double kProductEffort = 1.0, kSlotEffort = 0.5, kExpandEffort = 2.0;

// --- Winograd, in vector instructions: per product; per product and panel for the transform of
// sums; per result of the inputs' and of the kernels' transform; and the share of the direct form's
// instructions below which transforms were measured to be faster. With dot products one instruction
// is a product. They were measured on a Zen 3 and an Emerald Rapids, where direct layers take a
// tenth more than their products and transformed weights go through the second-level cache.

struct WinogradEfforts {
    double product, sum, input, kernel, worthwhile;
};
constexpr WinogradEfforts kWinograd = {2.0, 8.0, 24.0, 9.0, 0.9};
constexpr WinogradEfforts kWinogradByDot = {1.1, 8.0, 12.0, 10.0, 1.1};

const WinogradEfforts& winograd_efforts(const kernels::KernelSet& kernels) {
    return kernels.has_dot() ? kWinogradByDot : kWinograd;
}

// The share of the time as it is below which positions are made side by side.
constexpr double kSideBySideWorthwhile = 0.8;

// Relative time of a position.
double side_by_side_cost(const DenseWeights& weights, int count, int stride) {
    const WeightShape& shape = weights.shape();
    const int64_t columns = columns_side_by_side(shape, count, stride);
    const int64_t slots =
        weights.folded() ? pieces(shape.inputs * columns, 4) : pieces(shape.inputs, 4) * columns;
    const int64_t panels = pieces(int64_t(shape.outputs) * count, weights.kernels().panel);
    return double(slots) * (kProductEffort * double(panels) + kSlotEffort) / count;
}

// --- Splitting by panels: a thread that keeps to its units finds much of what it reads in the
// cache of its own core, where it wrote it in the layer before.

constexpr double kInputsFromOthers = 1.05;

}  // namespace

double accumulation_cost(Arithmetic arithmetic, RunLength run_length, bool scaled, int64_t steps,
                         int64_t runs) {
    double per_step = kStep, per_run = kRun;
    if (arithmetic == Arithmetic::wide16) per_step = kWideStep;
    if (scaled) per_step = kScaledStep;
    if (arithmetic == Arithmetic::wide16 || arithmetic == Arithmetic::dot) per_run = 0.0;
    if (arithmetic == Arithmetic::dotruns) {
        const bool wide = run_length == RunLength::any;
        if (!wide) per_step = kShortDotStep;
        per_run = wide ? kWideDotRun : kShortDotRun;
    }
    return per_step * double(steps) + per_run * double(runs);
}

RunLength run_length_of(int64_t steps, const std::vector<uint16_t>& run_steps) {
    if (steps >= kFewSteps * int64_t(run_steps.size())) return RunLength::any;
    const bool two = std::all_of(run_steps.begin(), run_steps.end(),
                                 [](uint16_t length) { return length == 2; });
    return two ? RunLength::two : RunLength::few;
}

const kernels::TileKernels& tile_kernels(const kernels::KernelSet& kernels, const Stream& stream) {
    switch (stream.arithmetic) {
        case Arithmetic::wide16:
            return kernels.wide16;
        case Arithmetic::dot:
            return kernels.dot;
        case Arithmetic::dotruns:
            return stream.run_length == RunLength::few ? kernels.dotruns_short : kernels.dotruns;
        default:
            return stream.run_length == RunLength::any   ? kernels.runs16
                   : stream.run_length == RunLength::two ? kernels.runs16_two
                                                         : kernels.runs16_short;
    }
}

decltype(kernels::RowKernel::run) row_kernel(const kernels::KernelSet& kernels,
                                             const Stream& stream) {
    const kernels::RowKernel& row = kernels.*stream.format->row;
    // A row takes codes as they are stored, run by run, whatever tiles make of them.
    const Arithmetic arithmetic = stream.scaled ? Arithmetic::dotruns : stream.arithmetic;
    if (row.run == nullptr || row.arithmetic != arithmetic) return nullptr;
    const bool one_scale = stream.arithmetic == Arithmetic::wide16;  // of both halves of a slot
    return one_scale && !stream.whole_slots ? nullptr : row.run;
}

int row_shares(int64_t packed_bytes, int threads) {
    const int64_t most = std::min<int64_t>(kRowShares * threads, packed_bytes / kRowShareBytes);
    return int(std::max<int64_t>(1, most));
}

Effort direct_effort(int64_t steps, int positions_per_unit, int64_t slots_per_unit) {
    Effort effort;
    effort.both = kProductEffort * double(steps) * positions_per_unit;
    effort.unit = kSlotEffort * double(slots_per_unit);
    effort.panel = kExpandEffort * double(steps);
    return effort;
}

// A panel has two vectors.
Effort winograd_effort(const WinogradTiling& tiling, const kernels::KernelSet& kernels) {
    const WinogradEfforts& efforts = winograd_efforts(kernels);
    Effort effort;
    // Edges have two points less in their direction.
    const double products =
        double(tiling.points_across * tiling.across - 2 * tiling.narrow_across) *
        (tiling.points_down * tiling.down - 2 * tiling.narrow_down) / tiling.down;
    const int pairs_of_a_vector = kernels.panel / 2;
    effort.both = products * 2.0 * (efforts.product * tiling.pairs + efforts.sum);
    effort.unit = tiling.across *
                  (tiling.points() * tiling.pairs / double(pairs_of_a_vector) * efforts.input);
    effort.panel = tiling.points() * (2.0 * tiling.pairs * efforts.kernel);
    return effort;
}

double winograd_cost(const WinogradTiling& tiling, const DenseWeights& weights) {
    const int panels = weights.panels_per_group();
    const Effort one = winograd_effort(tiling, weights.kernels());
    const double chunks = double(pieces(tiling.units, tiling.chunk));
    return (one.both * panels + one.unit) * double(tiling.units) + one.panel * panels * chunks;
}

double winograd_budget(const DenseWeights& weights, const ConvGeometry& geometry) {
    const double positions = double(geometry.batch) * geometry.out_h * geometry.out_w;
    double instructions = 0.0;  // of a position and vector of outputs
    for (const Stream& stream : weights.streams()) {
        const double steps = double(stream.steps.size()), runs = double(stream.run_steps.size());
        switch (stream.arithmetic) {
            case Arithmetic::runs16:
                instructions += 2.0 * (steps + runs);
                break;
            case Arithmetic::wide16:
                instructions += 2.0 * steps;
                break;
            case Arithmetic::dot:
                instructions += steps;
                break;
            case Arithmetic::dotruns:
                instructions += accumulation_cost(stream.arithmetic, stream.run_length, false,
                                                  int64_t(stream.steps.size()),
                                                  int64_t(stream.run_steps.size()));
                break;
        }
    }
    return winograd_efforts(weights.kernels()).worthwhile * 2.0 * instructions * positions *
           weights.panels_per_group();
}

Share cut_share(int64_t units, int64_t panels, const Effort& effort, int share, int shares) {
    const double panel_share = double(pieces(panels, shares));
    const double unit_share = double(pieces(units, shares));
    const double by_panels =
        panel_share * (effort.both * double(units) + effort.panel) + effort.unit * double(units);
    const double by_units =
        unit_share * (effort.both * double(panels) + effort.unit) + effort.panel * double(panels);
    if (kInputsFromOthers * by_panels < by_units)
        return share_by_panels(units, panels, share, shares);
    return {units * share / shares, units * (share + 1) / shares, 0, panels};
}

int count_side_by_side(const DenseWeights& weights, const ConvGeometry& geometry) {
    if (geometry.stride_w >= weights.shape().kernel_w) return 1;  // positions share no column
    const int most = weights.kernels().panel / weights.shape().outputs;
    int best = 1;
    double least = kSideBySideWorthwhile * side_by_side_cost(weights, 1, geometry.stride_w);
    for (int count = 2; count <= std::min(most, geometry.out_w); ++count) {
        if (geometry.out_w % count != 0) continue;
        const double cost = side_by_side_cost(weights, count, geometry.stride_w);
        if (cost < least) least = cost, best = count;
    }
    return best;
}

std::unique_ptr<const Convolution> select_algorithm(std::shared_ptr<const PreparedLayer> layer,
                                                    const ConvGeometry& geometry) {
    if (dynamic_cast<const DepthwiseWeights*>(&layer->weights()) != nullptr) {
        if (auto lines = make_depthwise_lines(layer, geometry)) return lines;
        return make_depthwise(std::move(layer), geometry);
    }
    if (auto winograd = make_winograd_3x3(layer, geometry)) return winograd;
    if (auto winograd = make_winograd_stem(layer, geometry)) return winograd;
    return make_dense(std::move(layer), geometry);
}

}  // namespace sub8::conv
