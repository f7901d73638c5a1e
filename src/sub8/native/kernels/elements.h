// Element-wise inner loops: everything but the matrix products. One table of functions per
// instruction set.
//
// 8-bit tensors are passed as bytes; `is_signed` says how to read them.
#pragma once

#include <cstdint>

#include "kernels/functions.h"
#include "kernels/rows.h"

namespace sub8::kernels {

// How a sum becomes an 8-bit result: clamp(round_half_even(sum / 2**shift) + zero_point, low,
// high).
struct ResultRange {
    int shift = 0;
    int zero_point = 0;
    int low = 0;
    int high = 255;
};

// result = clamp(round_half_even((a*multiplier_a + b*multiplier_b + offset) / 2**shift) +
// zero_point, low, high) for a sum, and clamp(round_half_even((a - zero_a)*(b -
// zero_b)*multiplier_a / 2**shift) + ...) for a product.
struct BinaryArithmetic {
    std::int64_t multiplier_a = 1;
    std::int64_t multiplier_b = 1;
    std::int64_t offset = 0;
    int zero_a = 0;
    int zero_b = 0;
    ResultRange result;
    bool signed_a = false;
    bool signed_b = false;
    bool product = false;
    bool narrow = false;  // every intermediate result fits int32 with room for rounding
};

// One operand of a sum that is known to stay below 2**30 in magnitude: values * 2**shift, shift >=
// 0.
struct NarrowTerm {
    enum class Type { u8, s8, s32 };
    const void* values;
    Type type;
    int step;  // 0: one value for all; 1
    int shift;
};

struct ElementKernels {
    // out = clamp(rint(x / scale) + zero_point, low, high), as bytes.
    void (*quantize)(const float* x, std::int64_t count, float scale, int zero_point, int low,
                     int high, std::uint8_t* out);
    // out[i * out_stride + channel] = planes[channel * stride + i].
    void (*interleave)(const std::uint8_t* planes, std::int64_t stride, std::int64_t channels,
                       std::int64_t count, std::uint8_t* out, std::int64_t out_stride);
    // out = (x - zero_point) * scale.
    void (*dequantize)(const std::uint8_t* x, std::int64_t count, bool is_signed, int zero_point,
                       float scale, float* out);
    // step_a, step_b: 0 (one value for all) or 1.
    void (*binary)(const std::uint8_t* a, int step_a, const std::uint8_t* b, int step_b,
                   std::int64_t count, const BinaryArithmetic& arithmetic, std::uint8_t* out);
    // out = the function of x, [rows, columns] bytes, `pitch` from row to row of both; out may be
    // x.
    void (*look_up)(const std::uint8_t* x, std::int64_t rows, std::int64_t columns,
                    std::int64_t pitch, const ByteFunction& function, std::uint8_t* out);
    // x becomes its Bend, with a slope of each column's own below and above the knee; kBeyond more
    // of them may be read.
    void (*bend)(std::uint8_t* x, std::int64_t rows, std::int64_t columns, std::int64_t pitch,
                 const float* below, const float* above, const Bend& bend);
    // out[i] = max over rows of row[i]; rows >= 1.
    void (*largest_of_rows)(const std::uint8_t* const* rows, int row_count, std::int64_t count,
                            bool is_signed, std::uint8_t* out);
    // sums[i] += sum over `rows` rows, `stride` bytes apart, of x[i].
    void (*add_rows)(const std::uint8_t* x, std::int64_t rows, std::int64_t stride,
                     std::int64_t count, bool is_signed, std::int32_t* sums);
    // out[i] = max |x[i]| over all, as the bits of a non-negative float.
    std::uint32_t (*largest_magnitude)(const float* x, std::int64_t count);
    // totals[i] = min(max(sum of the terms, minimum), maximum); one to three terms.
    void (*narrow_sum)(const NarrowTerm* terms, int term_count, std::int64_t count,
                       std::int32_t minimum, std::int32_t maximum, std::int32_t* totals);
    // max |totals[i]|, each below 2**31.
    std::int32_t (*largest_total)(const std::int32_t* totals, std::int64_t count);
    // out = clamp(round_half_even(totals / 2**shift), low, high), |totals| below 2**30, shift
    // 0..30.
    void (*narrow_round)(const std::int32_t* totals, std::int64_t count, int shift, int low,
                         int high, std::uint8_t* out);
    // One row of numerics/rows.py: softmax. addend: of the row, or null. scaled, parts:
    // scratch of size elements.
    void (*softmax)(const float* x, const float* addend, std::int64_t size,
                    const SoftmaxArithmetic& arithmetic, float* scaled, std::int32_t* parts,
                    std::uint8_t* out);
    // One row of numerics/rows.py: normalise_rows.
    void (*normalise_row)(const std::uint8_t* x, std::int64_t size,
                          const NormArithmetic& arithmetic, std::uint8_t* out);
};

}  // namespace sub8::kernels
