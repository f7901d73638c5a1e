// What the kernels over rows need beside the elements.
#pragma once

#include <cstdint>

namespace sub8::kernels {

// An 8-bit result: clamp(rint(x * inverse_scale), low, high), as bytes. The scale is a power of
// two, so that this product is the quotient.
struct RowResult {
    float inverse_scale = 1.0F;
    int low = 0;
    int high = 255;
};

struct SoftmaxArithmetic {
    float factor = 1.0F;
    const std::int32_t* exponentials = nullptr;  // kExponentials
    RowResult result;
};

struct NormArithmetic {
    bool is_signed = false;
    float scale = 1.0F;  // of x, a power of two
    double least = 0.0;  // added to the variance, times the row's length squared
    const float* gamma = nullptr;
    const float* beta = nullptr;
    RowResult result;
};

constexpr int kExponentials = 4096;
constexpr std::int64_t kLongestRow = std::int64_t{1} << 18;  // of a normalisation

}  // namespace sub8::kernels
