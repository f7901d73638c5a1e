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

// 8-bit results: uint8(rint(acc * scale + offset)), at least low and at most high, XORed with flip.
// Exact in float32 where |acc| is below 2**24 and acc * scale + offset is rounded once.
struct FloatForm {
    float scale;  // a power of two
    std::vector<float> offset;
    uint8_t low, high, flip;
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

    // The results, before their function, by this form; none where it would not be exact.
    std::optional<FloatForm> float_form() const;
    // The function of results, if there is one: the last that apply does.
    void apply_function(uint8_t* result, int rows, int columns, int output) const;

  private:
    enum class Form { to_8_bit, to_float, raw };

    void prepare(const Accumulators& accumulators, const To8Bit& params);
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
    int64_t largest_total_ = 0;  // of a narrow 8-bit result, before it is shifted
    std::vector<int64_t> multiplier_;
    std::vector<int64_t> offset_;
    std::vector<int32_t> offset32_;
    std::vector<float> scale_;
};

}  // namespace sub8::requantize
