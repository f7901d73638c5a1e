#include "requantize/prepare.h"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "numeric.h"

namespace sub8::requantize {
namespace {

template <typename T>
const T& channel(const std::vector<T>& values, int output) {
    return values.size() == 1 ? values[0] : values[output];
}

template <typename T>
void check_length(const std::vector<T>& values, int outputs, const char* name) {
    if (values.size() != 1 && values.size() != std::size_t(outputs)) {
        throw std::invalid_argument(std::string("requantize: ") + name + " must have 1 or " +
                                    std::to_string(outputs) + " entries, not " +
                                    std::to_string(values.size()));
    }
}

bool is_power_of_two(int64_t value) { return value > 0 && (value & (value - 1)) == 0; }

int exponent(int64_t power) {
    int bits = 0;
    while ((int64_t(1) << bits) < power) ++bits;
    return bits;
}

constexpr int64_t kWideSum = int64_t(1) << 62;   // sums to 8 bits stay below
constexpr int64_t kFloatSum = int64_t(1) << 61;  // and so does each part of a float result's
constexpr int kWideShifts[] = {32, 61};
constexpr int kFoldedShift = 53;  // 255 * 2**shift stays below 2**61

// Whether bound * |multiplier| + 255 * |residual multiplier| + |offset| stays below kWideSum, which
// leaves room for rounding.
bool sum_fits(int64_t bound, int64_t multiplier, int64_t residual, int64_t offset) {
    constexpr int64_t kMost = kWideSum - 1;
    if (!within(multiplier, kMost / std::max<int64_t>(bound, 1)) ||
        !within(residual, kMost / 255) || !within(offset, kMost)) {
        return false;
    }
    const int64_t product = bound * std::abs(multiplier);
    return uint64_t(product) + uint64_t(255 * std::abs(residual)) + uint64_t(std::abs(offset)) <=
           uint64_t(kMost);
}

// What of a sum is known, whatever the input.
struct Sum {
    uint64_t multiplier;  // below 2**31
    uint64_t offset;
    uint64_t residual_multiplier;  // below 2**31; 0: no residual
    int64_t bound;                 // of the accumulator's magnitude
    int shift;
};

// Whether acc * multiplier + residual * residual_multiplier + offset may be an odd multiple of
// 2**(shift - 1), for an accumulator within the bound and a residual of 8 bits.
bool may_tie(const Sum& sum) {
    int twos = 0;
    while (twos < sum.shift && ((sum.multiplier >> twos) & 1) == 0) ++twos;
    const uint64_t odd = sum.multiplier >> twos;
    uint64_t inverse = odd;  // modulo 2**64, by Newton: each step doubles the bits, from 3
    for (int bits = 3; bits < 64; bits *= 2) inverse *= 2 - odd * inverse;
    const int places = sum.shift - twos;
    const bool has_residual = sum.residual_multiplier != 0;
    for (int residual = has_residual ? -128 : 0; residual <= (has_residual ? 255 : 0); ++residual) {
        const uint64_t rest = (uint64_t(1) << (sum.shift - 1)) - sum.offset -
                              uint64_t(int64_t(residual)) * sum.residual_multiplier;
        if ((rest & ((uint64_t(1) << twos) - 1)) != 0) continue;
        if (places == 0) return true;
        // The accumulators are (rest >> twos) / odd modulo 2**places; the one next to 0:
        const uint64_t found = (rest >> twos) * inverse << (64 - places);
        if (std::abs(int64_t(found) >> (64 - places)) <= sum.bound) return true;
    }
    return false;
}

// What the true accumulator is less than the kernels'.
int64_t correction(const Accumulators& accumulators, int output) {
    return accumulators.stored_zero * accumulators.sums[output];
}

}  // namespace

Prepared::Prepared(const kernels::KernelSet& kernels, const Accumulators& accumulators,
                   const Params& params)
    : kernels_(kernels), outputs_(int(accumulators.sums.size())) {
    std::visit([&](const auto& form) { prepare(accumulators, form); }, params);
}

void Prepared::prepare(const Accumulators& accumulators, const To8Bit& params) {
    form_ = Form::to_8_bit;
    check_length(params.multiplier, outputs_, "multiplier");
    check_length(params.offset, outputs_, "offset");
    if (params.shift < 0 || params.shift > 62)
        throw std::invalid_argument("requantize: shift must lie in 0..62");
    const bool out_signed = params.low < 0;
    if (params.low > params.high || params.low < -128 || params.high > (out_signed ? 127 : 255)) {
        throw std::invalid_argument("requantize: [low, high] must lie within int8 or uint8");
    }
    // Narrow: all in int32. A product or sum on the way may wrap around; the true total may not.
    const int64_t first = channel(params.multiplier, 0);
    bool narrow = is_power_of_two(first) && first < (int64_t(1) << 31) && params.shift <= 30 &&
                  std::all_of(
                      params.multiplier.begin(), params.multiplier.end(),
                      [&](int64_t value) { return value == first; });
    const int64_t residual = params.has_residual ? params.residual_multiplier : 0;
    narrow = narrow &&
             (residual == 0 || (is_power_of_two(residual) && residual < (int64_t(1) << 23))) &&
             within(params.zero_point, 255);
    const int64_t half = params.shift > 0 ? int64_t(1) << (params.shift - 1) : 0;
    bool wide = params.shift >= kWideShifts[0] && params.shift <= kWideShifts[1] && residual >= 0 &&
                residual < (int64_t(1) << 31) && within(params.zero_point, 255);
    bool ties = false;
    int64_t largest = 0;  // magnitude of a sum
    // Whole panels are read, so the constants are padded.
    const int padded = outputs_ + kernels_.panel;
    multiplier_.assign(padded, 0);
    offset_.assign(padded, 0);
    for (int o = 0; o < outputs_; ++o) {
        multiplier_[o] = channel(params.multiplier, o);
        const int64_t offset = channel(params.offset, o);
        if (!sum_fits(accumulators.bounds[o], multiplier_[o], residual, offset))
            throw std::invalid_argument("requantize: a sum leaves 64 bits");
        offset_[o] = int64_t(uint64_t(offset) -
                             uint64_t(correction(accumulators, o)) * uint64_t(multiplier_[o]));
        narrow = narrow && within(offset, INT32_MAX) &&
                 accumulators.bounds[o] * first + 255 * residual + std::abs(offset) + half <
                     (int64_t(1) << 31);
        const int64_t multiplier = multiplier_[o], bound = accumulators.bounds[o];
        if (narrow) largest = std::max(largest, bound * first + 255 * residual + std::abs(offset));
        wide = wide && multiplier >= 0 && multiplier < (int64_t(1) << 31) &&
               bound < (int64_t(1) << 31) &&
               bound * multiplier + 255 * residual < kWideSum - std::abs(offset) - half;
        if (wide) {
            largest =
                std::max(largest, bound * multiplier + 255 * residual + std::abs(offset) + half);
        }
        ties = ties || !wide ||
               may_tie({uint64_t(multiplier), uint64_t(offset), uint64_t(residual), bound,
                        params.shift});
    }
    if (narrow) {
        offset32_.assign(padded, 0);
        for (int o = 0; o < outputs_; ++o) offset32_[o] = int32_t(uint32_t(uint64_t(offset_[o])));
        constants_.acc_shift = exponent(first);
        constants_.residual_shift = residual > 0 ? exponent(residual) : 0;
    }
    int zero_point = params.zero_point;
    if (wide && !narrow && !ties && params.shift <= kFoldedShift) {
        // Without ties the zero point can be added before the rounding.
        const int64_t added = int64_t(zero_point) * (int64_t(1) << params.shift);
        if (largest < kWideSum - std::abs(added)) {
            for (int o = 0; o < outputs_; ++o) offset_[o] += added;
            zero_point = 0;
        }
    }
    constants_.multiplier = multiplier_.data();
    constants_.offset = offset_.data();
    constants_.residual_multiplier = residual;
    constants_.offset32 = offset32_.data();
    constants_.shift = params.shift;
    constants_.zero_point = zero_point;
    constants_.low = params.low;
    constants_.high = params.high;
    constants_.narrow = narrow;
    constants_.wide = wide && !narrow;
    constants_.ties = ties;
    constants_.has_residual = residual != 0;
    constants_.residual_signed = params.residual_signed;
    constants_.out_signed = out_signed;
    if (narrow) prepare_float_form(params, largest);
    kernel_ = kernels_.requantize(constants_);
    if (params.table.empty()) return;
    if (params.table.size() == kernels::kEntries) {
        function_ = kernels::byte_function(params.table.data());
    } else if (params.table.size() == std::size_t(outputs_) * kernels::kEntries) {
        functions_.emplace(params.table);
    } else {
        throw std::invalid_argument(
            "requantize: a table of 256 bytes, or one for each output, "
            "is needed");
    }
}

// float32 holds integers below 2**24. Sums and accumulators past that may be rounded, but stay
// there; with what is added at most so much smaller, the quotient saturates all the same. An even
// zero point keeps ties.
void Prepared::prepare_float_form(const To8Bit& params, int64_t largest) {
    constexpr int64_t kExact = int64_t(1) << 24, kInt32 = int64_t(1) << 30;
    kernels::RequantizeConstants& c = constants_;
    if (params.zero_point % 2 != 0 || largest >> params.shift >= kInt32) return;
    const int64_t unit = int64_t(1) << params.shift;
    for (const int64_t offset : offset_) {
        if (!within(offset + params.zero_point * unit, kExact - 256 * unit)) return;
    }
    for (const int64_t offset : offset_)
        float_offset_.push_back(float(offset + params.zero_point * unit) / float(unit));
    c.in_float = true;
    c.scale = (c.has_residual ? 1.0F : float(int64_t(1) << c.acc_shift)) / float(unit);
    c.float_offset = float_offset_.data();
}

void Prepared::prepare(const Accumulators& accumulators, const ToFloat& params) {
    form_ = Form::to_float;
    const int64_t multiplier = params.multiplier;
    bool narrow = multiplier >= 0 && multiplier <= INT32_MAX;
    check_length(params.offset, outputs_, "offset");
    check_length(params.scale, outputs_, "scale");
    multiplier_.assign(1, params.multiplier);
    offset_.resize(outputs_);
    scale_.resize(outputs_);
    for (int o = 0; o < outputs_; ++o) {
        const int64_t bound = std::max<int64_t>(accumulators.bounds[o], 1);
        if (!within(multiplier, kFloatSum / bound) || !within(channel(params.offset, o), kFloatSum))
            throw std::invalid_argument("requantize: a sum leaves 64 bits");
        offset_[o] = channel(params.offset, o) - correction(accumulators, o) * params.multiplier;
        scale_[o] = channel(params.scale, o);
        const int64_t room = INT32_MAX - accumulators.bounds[o] * (narrow ? multiplier : 0);
        narrow = narrow && offset_[o] >= -room && offset_[o] <= room;
    }
    if (narrow) offset32_.assign(offset_.begin(), offset_.end());
}

void Prepared::prepare(const Accumulators& accumulators, const RawAccumulators&) {
    form_ = Form::raw;
    offset32_.resize(outputs_);
    for (int o = 0; o < outputs_; ++o)
        offset32_[o] = int32_t(uint32_t(uint64_t(-correction(accumulators, o))));
}

void Prepared::apply_function(uint8_t* result, int rows, int columns, int output) const {
    if (function_) {
        kernels_.elements.look_up(result, rows, columns, outputs_, *function_, result);
    } else if (functions_) {
        functions_->apply(kernels_.elements, result, rows, columns, outputs_, output);
    }
}

void Prepared::apply(const int32_t* acc, int64_t acc_pitch, int rows, int columns, int output,
                     int64_t position, const void* residual, void* result) const {
    const int64_t start = position * outputs_ + output;
    if (form_ == Form::to_8_bit) {
        kernels::RequantizeArguments arguments;
        arguments.acc = acc;
        arguments.acc_pitch = acc_pitch;
        arguments.rows = rows;
        arguments.columns = columns;
        arguments.output = output;
        arguments.constants = &constants_;
        arguments.residual =
            constants_.has_residual ? static_cast<const uint8_t*>(residual) + start : nullptr;
        arguments.out = static_cast<uint8_t*>(result) + start;
        arguments.pitch = outputs_;
        kernel_(arguments);
        apply_function(arguments.out, rows, columns, output);
        return;
    }
    for (int row = 0; row < rows; ++row) {
        const int32_t* from = acc + row * acc_pitch;
        if (form_ == Form::raw) {
            int32_t* to = static_cast<int32_t*>(result) + start + int64_t(row) * outputs_;
            const int32_t* offset = offset32_.data() + output;
            for (int j = 0; j < columns; ++j)
                to[j] = int32_t(uint32_t(from[j]) + uint32_t(offset[j]));
        } else {
            float* to = static_cast<float*>(result) + start + int64_t(row) * outputs_;
            const float* scale = scale_.data() + output;
            if (offset32_.empty()) {
                const int64_t* offset = offset_.data() + output;
                for (int j = 0; j < columns; ++j)
                    to[j] = float(from[j] * multiplier_[0] + offset[j]) * scale[j];
            } else if (multiplier_[0] == 1) {
                const int32_t* offset = offset32_.data() + output;
                for (int j = 0; j < columns; ++j) to[j] = float(from[j] + offset[j]) * scale[j];
            } else {  // every total fits int32; made in vectors
                const int32_t* offset = offset32_.data() + output;
                const int32_t multiplier = int32_t(multiplier_[0]);
                for (int j = 0; j < columns; ++j)
                    to[j] = float(from[j] * multiplier + offset[j]) * scale[j];
            }
        }
    }
}

}  // namespace sub8::requantize
