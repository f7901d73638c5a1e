// Products of 8-bit matrices, both made at run time: [.., rows, inner] x [.., inner, columns], sums
// in int32, then one rounding, or float32.
//
// The tile kernels of layers, with the right operand packed as their weights. A share is a range of
// lines of rows. For every block of columns (whose packed form fits the second-level cache) the
// right matrix is packed once for all lines of the share that it belongs to.
#pragma once

#include <cstdint>
#include <vector>

#include "conv/input_format.h"
#include "executor/step.h"
#include "executor/strided.h"
#include "kernels/kernels.h"
#include "requantize/prepare.h"

namespace sub8::executor {

// Matrices in a buffer, in whatever order their elements lie.
struct Matrices {
    Buffer buffer;
    Strides
        strides;  // per leading axis (0 where broadcast), from row to row, from column to column
    conv::InputFormat format;
};

class MatMul : public Step {
  public:
    // sizes: the leading axes, rows, inner, columns. out: [leading axes, rows, columns],
    // contiguous.
    MatMul(const kernels::KernelSet& kernels, Matrices a, Matrices b, const Buffer& out,
           std::vector<std::int64_t> sizes, const requantize::Params& result);
    void run(const Frame& frame, const Worker& worker) const override;
    std::size_t scratch_bytes(int threads) const override;

  private:
    struct Room;  // a worker's scratch, cut

    void pack(const std::uint8_t* b, std::int64_t readable, std::int64_t first_panel,
              const Room& room) const;
    void pack_across(const std::uint8_t* from, int columns, std::uint8_t* packed) const;
    void gather(const std::uint8_t* from, std::int64_t pitch, int positions, std::int64_t readable,
                std::uint8_t flip, std::int64_t out_pitch, void* out) const;
    void start_columns(const std::uint8_t* packed, std::uint32_t* starts) const;
    void start_rows(const std::uint8_t* a, int rows, const Room& room) const;
    std::int64_t panels_of_block(std::int64_t first) const;

    const kernels::KernelSet& kernels_;
    const kernels::TileKernels& tiles_;
    Matrices a_, b_;
    Buffer out_;
    std::vector<std::int64_t> leading_;
    std::int64_t rows_, inner_, columns_;
    int lanes_;  // elements of a K-step
    std::int64_t steps_;
    std::vector<std::int32_t> slots_;  // SlotArguments::table
    std::uint8_t flip_a_, flip_b_;
    std::int32_t zero_a_;           // what a real 0 of the left operand is to the kernels
    std::int32_t zero_b_;           // the same of the right one, as packed
    std::int32_t packed_zero_ = 0;  // taken off while packing
    std::int64_t panels_, block_panels_;
    std::int64_t lines_;  // of a matrix
    requantize::Prepared requantize_;
};

}  // namespace sub8::executor
