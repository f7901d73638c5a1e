#include "conv/winograd.h"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <utility>

#include "conv/scratch.h"
#include "conv/select.h"
#include "conv/tiling.h"

namespace sub8::conv {

int alpha_of(const DenseWeights& weights, const Stream& stream, int output, int run, int half) {
    const int panel = weights.kernels().panel;
    const int64_t place = int64_t(output / panel) * int64_t(stream.run_steps.size()) + run;
    return stream.alpha[(place * panel + output % panel) * 2 + half];
}

bool sums_fit(const DenseWeights& weights, const std::vector<int32_t>& factors,
              const kernels::WinogradForm& form) {
    for (int output = 0; output < weights.shape().outputs; ++output) {
        // Sums of uint8 times integers of one sign, the larger.
        const int64_t most =
            (weights.bounds()[output] + 255 * std::abs(weights.sums()[output])) / 2;
        const int32_t factor = factors.empty() ? 1 : std::max(factors[output], 1);
        if (most / factor >= int64_t{1} << (31 - form.shift)) return false;
    }
    return true;
}

WinogradConvolution::WinogradConvolution(std::shared_ptr<const PreparedLayer> prepared,
                                         const ConvGeometry& geometry,
                                         const kernels::WinogradForm& form, int channels, int pairs,
                                         std::vector<int32_t> factors, int64_t scratch)
    : Convolution(std::move(prepared)),
      weights_(static_cast<const DenseWeights&>(layer().weights())),
      kernels_(weights_.kernels()),
      form_(form),
      geometry_(geometry),
      channels_(channels),
      factors_(std::move(factors)),
      tiling_(form, pairs, geometry),
      weights_bytes_(scratch) {
    assert(!kernels_.signed_activations);
    const int64_t tiles = int64_t(tiling_.chunk) * tiling_.across;
    rows_bytes_ = aligned(form.points_down() * row_bytes());
    inputs_bytes_ = tiling_.points() * tiling_.point_bytes;
    products_bytes_ = tiling_.points() * point_products(tiles) * int64_t(sizeof(int32_t));
    acc_bytes_ = aligned(form.rows * acc_pitch() * int64_t(sizeof(int32_t)));
}

std::string WinogradConvolution::algorithm() const {
    return "winograd " + std::to_string(form_.rows) + "x" + std::to_string(form_.columns);
}

std::size_t WinogradConvolution::scratch_bytes(int) const {
    return std::size_t(rows_bytes_ + inputs_bytes_ + weights_bytes_ + products_bytes_ + acc_bytes_);
}

int64_t WinogradConvolution::point_weights(int pairs, int panel) {
    return odd_lines(int64_t(pairs) * panel * 4) / int64_t(sizeof(int16_t));
}

// int32 from point to point.
int64_t WinogradConvolution::point_products(int64_t tiles) const {
    return odd_lines(tiles * kernels_.panel * 4) / int64_t(sizeof(int32_t));
}

// int32 from output row to output row.
int64_t WinogradConvolution::acc_pitch() const {
    return int64_t(tiling_.across) * form_.columns * kernels_.panel;
}

void WinogradConvolution::run_share(const Operands& operands, Scratch memory, int share, int shares,
                                    bool) const {
    Work work;
    work.rows = memory.take<uint8_t>(rows_bytes_);
    work.inputs = memory.take<uint8_t>(inputs_bytes_);
    work.weights = memory.take<uint8_t>(weights_bytes_);
    work.products = memory.take<int32_t>(products_bytes_);
    work.acc = memory.take<int32_t>(acc_bytes_);
    const Share part = cut_share(tiling_.units, weights_.panels_per_group(),
                                 winograd_effort(tiling_, kernels_), share, shares);
    if (part.first_panel == part.end_panel) return;
    for (int64_t unit = part.first_unit; unit < part.end_unit; unit += tiling_.chunk) {
        const TileChunk chunk =
            tiling_.chunk_of(unit, int(std::min<int64_t>(tiling_.chunk, part.end_unit - unit)));
        for (int64_t u = unit; u < unit + chunk.units; ++u)
            transform_inputs(operands.input, chunk, u, work);
        for (int64_t panel = part.first_panel; panel < part.end_panel; ++panel) {
            multiply(transformed_weights(panel, work.weights), chunk, work);
            for (int64_t u = unit; u < unit + chunk.units; ++u)
                finish(chunk, u, panel, operands, work);
        }
    }
}

const kernels::WinogradForm& WinogradConvolution::form_of(bool narrow_row) const {
    return narrow_row ? form_.edges->below : form_;
}

const kernels::WinogradForm& WinogradConvolution::edge_form_of(bool narrow_row) const {
    return narrow_row ? form_.edges->corner : form_.edges->right;
}

// Of a row of tiles.
void WinogradConvolution::transform_inputs(const uint8_t* input, const TileChunk& chunk,
                                           int64_t unit, const Work& work) const {
    const TileRow row = tiling_.row_of(chunk, unit);
    const kernels::WinogradForm& form = form_of(row.narrow);
    const int64_t image = unit / tiling_.down;
    const int64_t image_bytes = int64_t(geometry_.in_h) * geometry_.in_w * weights_.shape().inputs;
    arrange_rows(input + image * image_bytes, int(unit % tiling_.down) * form_.rows,
                 form.points_down(), work.rows);
    kernels::WinogradInput rows;
    rows.input = work.rows;
    rows.pitch = row_bytes();
    rows.channels = channels_;
    rows.tiles = tiling_.tiles_across();
    rows.flip = layer().stored().flip;
    rows.out = reinterpret_cast<int16_t*>(work.inputs + row.tiles * tiling_.tile_bytes);
    rows.point_pitch = tiling_.point_bytes / int64_t(sizeof(int16_t));
    form.input(rows);
    if (tiling_.narrow_across == 0) return;
    rows.input += int64_t(rows.tiles) * form_.columns * channels_;
    rows.tiles = 1;
    rows.out = reinterpret_cast<int16_t*>(work.inputs + row.edge * tiling_.tile_bytes);
    edge_form_of(row.narrow).input(rows);
}

void WinogradConvolution::multiply(const int16_t* weights, const TileChunk& chunk,
                                   const Work& work) const {
    kernels::TileArguments tile{};
    tile.pitch = 2 * int64_t(sizeof(int16_t));
    tile.row_pitch = tiling_.tile_bytes;
    tile.steps = tiling_.pairs;
    tile.first = true;
    for (int point = 0; point < tiling_.points(); ++point) {
        const bool has_right = kernels::on_edge_grid(point % tiling_.points_across);
        const bool has_below = kernels::on_edge_grid(point / tiling_.points_across);
        const int begin =
            (has_right && has_below ? 0 : chunk.corner) + (has_right ? 0 : chunk.right);
        const int end = chunk.tiles() - (has_below ? 0 : chunk.below);
        tile.activations = work.inputs + point * tiling_.point_bytes + begin * tiling_.tile_bytes;
        tile.weights = weights + point * point_weights(tiling_.pairs, kernels_.panel);
        tile.acc = work.products + point * point_products(chunk.tiles()) + begin * kernels_.panel;
        for_each_tile(end - begin, kernels_.wide16.rows, [&](int rows, int count) {
            tile.tiles = count;
            kernels_.wide16.of[rows](tile);
            tile.activations += tile.row_pitch * rows * count;
            tile.acc += int64_t(rows) * count * kernels_.panel;
        });
    }
}

// Of a row of tiles.
void WinogradConvolution::finish(const TileChunk& chunk, int64_t unit, int64_t panel,
                                 const Operands& operands, const Work& work) const {
    const TileRow numbers = tiling_.row_of(chunk, unit);
    const kernels::WinogradForm& form = form_of(numbers.narrow);
    const int first = int(panel) * kernels_.panel;
    kernels::WinogradOutput tiles;
    tiles.products = work.products + int64_t(numbers.tiles) * kernels_.panel;
    tiles.point_pitch = point_products(chunk.tiles());
    tiles.tiles = tiling_.tiles_across();
    tiles.factor = factors_.empty() ? nullptr : factors_.data() + first;
    tiles.acc = work.acc;
    tiles.row_pitch = acc_pitch();
    form.output(tiles);
    if (tiling_.narrow_across != 0) {
        tiles.acc += int64_t(tiles.tiles) * form_.columns * kernels_.panel;
        tiles.products = work.products + int64_t(numbers.edge) * kernels_.panel;
        tiles.tiles = 1;
        edge_form_of(numbers.narrow).output(tiles);
    }
    const int columns = std::min(kernels_.panel, weights_.shape().outputs - first);
    const int64_t image = unit / tiling_.down;
    const int row = int(unit % tiling_.down) * form_.rows;
    for (int r = 0; r < std::min(form.rows, geometry_.out_h - row); ++r) {
        const int64_t position = (image * geometry_.out_h + row + r) * int64_t(geometry_.out_w);
        layer().requantize().apply(work.acc + r * acc_pitch(), kernels_.panel, geometry_.out_w,
                                   columns, first, position, operands.residual, operands.output);
    }
}

}  // namespace sub8::conv
