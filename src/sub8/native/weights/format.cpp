#include "weights/format.h"

#include <stdexcept>

namespace sub8::weights {

using kernels::KernelSet;

const Format kFormatTable[kFormats] = {
    {"ternary", 2, 1, 1, &KernelSet::expand_w2, &KernelSet::expand_scaled_w2, &KernelSet::row_w2},
    {"int4", 4, 7, 8, &KernelSet::expand_w4, nullptr, &KernelSet::row_w4},
    {"int8", 8, 127, 0, nullptr, nullptr, &KernelSet::row_w8},
};

const Format& format(const std::string& name) {
    std::string names;
    for (const Format& row : kFormatTable) {
        if (name == row.name) return row;
        names += names.empty() ? "" : ", ";
        names += row.name;
    }
    throw std::invalid_argument("weights: format '" + name + "' unknown; use one of: " + names);
}

}  // namespace sub8::weights
