// An epilogue prepared for one layer: constants per output, corrected for how inputs are stored.
#pragma once

#include <cstdint>
#include <vector>

#include "conv/epilogue.h"
#include "conv/weights.h"
#include "kernels/kernels.h"

namespace sub8 {

class PreparedEpilogue {
  public:
    // stored_zero: what an input of real value 0 is stored as for the kernels, so that
    // acc = raw accumulator - stored_zero * weights.sums(). Throws std::invalid_argument.
    PreparedEpilogue(const Kernels& kernels, const PackedWeights& weights, int stored_zero,
                     const Epilogue& epilogue);
    PreparedEpilogue(const PreparedEpilogue&) = delete;
    PreparedEpilogue& operator=(const PreparedEpilogue&) = delete;

    bool needs_residual() const { return constants_.has_residual; }

    // rows x columns accumulators, `acc_pitch` from row to row, of outputs output, output + 1, ...
    // of the positions position, position + 1, ...
    void apply(const int32_t* acc, int64_t acc_pitch, int rows, int columns, int output,
               int64_t position, const void* residual, void* result) const;

  private:
    enum class Form { rescale, to_float, raw };

    void prepare(const PackedWeights& weights, const Rescale& rescale);
    void prepare(const PackedWeights& weights, const FloatRescale& rescale);
    void prepare(const PackedWeights& weights, const RawAccumulators& raw);
    int64_t correction(const PackedWeights& weights, int output) const;

    const Kernels& kernels_;
    int outputs_;
    int stored_zero_;
    Form form_;
    RescaleConstants constants_{};
    std::vector<int64_t> multiplier_;
    std::vector<int64_t> offset_;
    std::vector<int32_t> offset32_;
    std::vector<float> scale_;
};

}  // namespace sub8
