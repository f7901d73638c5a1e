// What becomes of an int32 accumulator: the integers of engine.plan.requantize, by the same names.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

namespace sub8::requantize {

// 8-bit result: clamp(round_half_even((acc * multiplier[o] + residual * residual_multiplier +
// offset[o]) / 2**shift) + zero_point, low, high), as if in exact arithmetic; sums must stay below
// 2**62; then the function of that by a table, if there is one.
struct To8Bit {
    std::vector<int64_t> multiplier;  // [outputs] or [1]
    std::vector<int64_t> offset;      // [outputs] or [1]
    int64_t residual_multiplier = 0;
    int shift = 0;  // 0..62
    int zero_point = 0;
    int low = 0;
    int high = 255;
    bool has_residual = false;
    bool residual_signed = false;
    std::vector<uint8_t> table;  // by the byte: none, [256], or [outputs, 256]
};

// float32 result: float32(acc * multiplier + offset[o]) * scale[o].
struct ToFloat {
    int64_t multiplier = 1;
    std::vector<int64_t> offset;  // [outputs] or [1]
    std::vector<float> scale;     // [outputs] or [1]
};

// int32 result: the accumulator itself, without bias.
struct RawAccumulators {};

using Params = std::variant<To8Bit, ToFloat, RawAccumulators>;

inline bool is_8_bit(const Params& params) { return std::holds_alternative<To8Bit>(params); }
inline bool has_residual(const Params& params) {
    return is_8_bit(params) && std::get<To8Bit>(params).has_residual;
}

}  // namespace sub8::requantize
