// Convolution (and, as its 1x1 case, the linear layer) on 8-bit NHWC tensors with clustered
// weights.
//
//     acc[n, y, x, o] = sum over i, ky, kx of weight[o, i, ky, kx] * (input[...] - zero_point)
//
// exactly, in int32; positions outside the input count as input == zero_point. Requantisation
// turns acc into the result. Every instruction set gives the same bits.
#pragma once

#include <cassert>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "conv/prepared_layer.h"
#include "conv/scratch.h"

namespace sub8::conv {

// Sizes of one run. Bottom and right padding are what out_h and out_w imply.
struct ConvGeometry {
    int batch = 1;
    int in_h = 1, in_w = 1;
    int out_h = 1, out_w = 1;
    int stride_h = 1, stride_w = 1;
    int pad_top = 0, pad_left = 0;
    int dilation_h = 1, dilation_w = 1;
};

// One layer at one input shape. Immutable once built; run may be called from many threads at once.
class Convolution {
  public:
    virtual ~Convolution() = default;
    Convolution(const Convolution&) = delete;
    Convolution& operator=(const Convolution&) = delete;

    // Throws std::invalid_argument where the parts do not fit together.
    static std::unique_ptr<const Convolution> create(std::shared_ptr<const PreparedLayer> layer,
                                                     const ConvGeometry& geometry);

    // What it does: "direct", "depthwise", "winograd 4x4" and the like.
    virtual std::string algorithm() const = 0;

    // Bytes of working memory that each thread must bring, for a team of `threads`.
    virtual std::size_t scratch_bytes(int threads) const = 0;

    // Into how many shares a team of `threads` best cuts it.
    virtual int shares(int threads) const { return threads; }
    // Computes share number `share` (0..shares-1) of the whole output; all shares make it complete,
    // in any order, without a barrier in between. input: 8-bit [batch, in_h, in_w, groups *
    // inputs]. residual: 8-bit, shaped as the output, or null; it may be the output itself. output:
    // 8-bit, float32 or int32 [batch, out_h, out_w, outputs]; it must not overlap the input.
    // scratch: scratch_bytes(threads), 64-byte aligned, not shared between threads. again: whether
    // it is as another share of the same run left it.
    void run(const void* input, const void* residual, void* output, void* scratch, int share,
             int shares, bool again) const {
        assert(share >= 0 && share < shares);
        assert(!layer().requantize().needs_residual() || residual != nullptr);
        run_share({static_cast<const uint8_t*>(input), residual, output}, Scratch(scratch), share,
                  shares, again);
    }

  protected:
    explicit Convolution(std::shared_ptr<const PreparedLayer> layer) : layer_(std::move(layer)) {}
    const PreparedLayer& layer() const { return *layer_; }

    struct Operands {
        const uint8_t* input;
        const void* residual;
        void* output;
    };

  private:
    virtual void run_share(const Operands& operands, Scratch memory, int share, int shares,
                           bool again) const = 0;

    std::shared_ptr<const PreparedLayer> layer_;
};

}  // namespace sub8::conv
