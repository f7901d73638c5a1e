// A layer's requantisation, prepared for its kernels once, whatever the input's shape.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/prepared_functions.h"
#include "requantize/params.h"

namespace sub8::requantize {

// What is known of a layer's accumulators, per output.
struct Accumulators {
    // What one unit added to every input adds to the accumulator.
    const std::vector<int64_t>& sums;
    // No accumulator is larger in magnitude.
    const std::vector<int64_t>& bounds;
    // What an input of real value 0 is stored as for the kernels: the true accumulator is theirs
    // less stored_zero * sums.
    int stored_zero;
};

class Prepared {
  public:
    // Throws std::invalid_argument where the parameters do not fit the outputs or their ranges.
    Prepared(const kernels::KernelSet& kernels, const Accumulators& accumulators,
             const Params& params);
    Prepared(const Prepared&) = delete;
    Prepared& operator=(const Prepared&) = delete;

    bool needs_residual() const { return constants_.has_residual; }

    // rows x columns accumulators, `acc_pitch` from row to row, of outputs output, output + 1, ...
    // of the positions position, position + 1, ...
    void apply(const int32_t* acc, int64_t acc_pitch, int rows, int columns, int output,
               int64_t position, const void* residual, void* result) const;

    // Of an 8-bit result in float32 without residual, before its function; else null.
    const kernels::RequantizeConstants* float_form() const {
        return constants_.in_float && !constants_.has_residual ? &constants_ : nullptr;
    }
    // The function of results, if there is one: the last that apply does.
    void apply_function(uint8_t* result, int rows, int columns, int output) const;

  private:
    enum class Form { to_8_bit, to_float, raw };

    void prepare(const Accumulators& accumulators, const To8Bit& params);
    void prepare_float_form(const To8Bit& params, int64_t largest);
    void prepare(const Accumulators& accumulators, const ToFloat& params);
    void prepare(const Accumulators& accumulators, const RawAccumulators& params);

    const kernels::KernelSet& kernels_;
    int outputs_;
    Form form_;
    kernels::RequantizeKernel kernel_ = nullptr;  // Form::to_8_bit
    kernels::RequantizeConstants constants_{};
    // Of the 8-bit result; one of them, or none.
    std::optional<kernels::ByteFunction> function_;
    std::optional<kernels::ChannelFunctions> functions_;
    std::vector<int64_t> multiplier_;
    std::vector<int64_t> offset_;
    std::vector<int32_t> offset32_;
    std::vector<float> float_offset_;
    std::vector<float> scale_;
};

}  // namespace sub8::requantize
