// The formats of weights: what tells one from another is a row here, and nothing else.
//
// Python's table of them is sub8.numerics.weight_format; a test compares the two.
#pragma once

#include <string>

#include "kernels/kernels.h"

namespace sub8::weights {

struct Format {
    const char* name;
    int bits;     // of a stored code
    int largest;  // integers are -largest .. largest
    int bias;     // what is stored is an integer plus this
    // Codes to int8; null where they are stored as int8.
    kernels::Expand kernels::KernelSet::* expand;
    // Codes times scales of up to 127 to int8, where that fits them all; null where it does not.
    kernels::ExpandScaled kernels::KernelSet::* expand_scaled;
    // One row of activations times codes as they are stored.
    kernels::RowKernel kernels::KernelSet::* row;

    int codes_per_byte() const { return 8 / bits; }
    // Steps of a run whose products of u8 and code, `products` of them a step and lane, fit int16
    // in sum whatever they are: for two 64 of ternary and 9 of int4; for four 32 and 4. 0: none.
    int largest_short_run(int products) const { return 32767 / (products * 255 * largest); }
};

constexpr int kFormats = 3;
extern const Format kFormatTable[kFormats];

// Throws std::invalid_argument where there is none of that name.
const Format& format(const std::string& name);

}  // namespace sub8::weights
