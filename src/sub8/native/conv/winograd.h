// The driver of convolutions by Winograd's transforms (kernels/winograd.h).
//
// For a chunk of rows of tiles: their inputs are arranged and transformed once; then, for every
// panel of outputs, each point's products are summed over the channels by the int16 tile kernels,
// and the sums transformed back into accumulators for their requantisation.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "conv/convolution.h"
#include "conv/dense_weights.h"
#include "conv/winograd_tiling.h"
#include "kernels/winograd.h"

namespace sub8::conv {

class WinogradConvolution : public Convolution {
  public:
    std::string algorithm() const override;
    std::size_t scratch_bytes(int threads) const override;

    // int16 from point to point of a panel's transformed weights, whole lines of 64 bytes.
    static int64_t point_weights(int pairs, int panel);

  protected:
    // channels: of a column of arranged rows, a multiple of kWinogradChannels. factors: of the
    // results, whole panels; empty: 1. scratch: bytes for transformed_weights, a multiple of 64.
    WinogradConvolution(std::shared_ptr<const PreparedLayer> layer, const ConvGeometry& geometry,
                        const kernels::WinogradForm& form, int channels, int pairs,
                        std::vector<int32_t> factors, int64_t scratch);

    const DenseWeights& weights() const { return weights_; }
    const ConvGeometry& geometry() const { return geometry_; }
    uint8_t zero_point() const { return uint8_t(layer().input().zero_point); }
    // Of a row of tiles, overlaps and padding included.
    int arranged_columns() const { return tiling_.across * form_.columns + form_.taps - 1; }

  private:
    void run_share(const Operands& operands, Scratch memory, int share, int shares,
                   bool again) const override;
    // Rows [first, first + count) of the grid on which the kernel has stride 1, each
    // [arranged_columns][channels], padding filled in.
    virtual void arrange_rows(const uint8_t* image, int first, int count, uint8_t* rows) const = 0;
    // [points][pairs][panel][2], `point_weights` apart, 64-byte aligned.
    virtual const int16_t* transformed_weights(int64_t panel, uint8_t* scratch) const = 0;

    struct Work {
        uint8_t* rows;
        uint8_t* inputs;
        uint8_t* weights;
        int32_t* products;
        int32_t* acc;
    };
    int64_t row_bytes() const { return int64_t(arranged_columns()) * channels_; }
    int64_t point_products(int64_t tiles) const;
    int64_t acc_pitch() const;
    const kernels::WinogradForm& form_of(bool narrow_row) const;
    const kernels::WinogradForm& edge_form_of(bool narrow_row) const;
    void transform_inputs(const uint8_t* input, const TileChunk& chunk, int64_t unit,
                          const Work& work) const;
    void multiply(const int16_t* weights, const TileChunk& chunk, const Work& work) const;
    void finish(const TileChunk& chunk, int64_t unit, int64_t panel, const Operands& operands,
                const Work& work) const;

    const DenseWeights& weights_;
    const kernels::KernelSet& kernels_;
    const kernels::WinogradForm& form_;
    ConvGeometry geometry_;
    int channels_;
    std::vector<int32_t> factors_;
    WinogradTiling tiling_;
    int64_t rows_bytes_;
    int64_t inputs_bytes_;
    int64_t weights_bytes_;
    int64_t products_bytes_;
    int64_t acc_bytes_;
};

// The scale that an output of a layer of one ungrouped stream has in a run: of either half of a
// slot.
int alpha_of(const DenseWeights& weights, const Stream& stream, int output, int run, int half);
// Whether `form` can bring back every sum before it is multiplied with its factor; no factors: 1.
bool sums_fit(const DenseWeights& weights, const std::vector<int32_t>& factors,
              const kernels::WinogradForm& form);

}  // namespace sub8::conv
