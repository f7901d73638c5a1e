// Packed weights to the kernels' operands, in plain C++.
#include <cassert>

#include "kernels/declarations.h"
#include "kernels/scalar/parts.h"

namespace sub8::kernels::scalar {
namespace {

void expand2(const uint8_t* packed, int vectors, int8_t* out) {
    assert(vectors % 4 == 0);
    for (int unit = 0; unit < vectors / 4; ++unit, packed += 2 * kPanel, out += 8 * kPanel) {
        for (int field = 0; field < 4; ++field) {
            for (int b = 0; b < 2 * kPanel; ++b) {
                out[field * 2 * kPanel + b] = int8_t(((packed[b] >> (2 * field)) & 3) - 1);
            }
        }
    }
}

void expand4(const uint8_t* packed, int vectors, int8_t* out) {
    assert(vectors % 2 == 0);
    for (int unit = 0; unit < vectors / 2; ++unit, packed += 2 * kPanel, out += 4 * kPanel) {
        for (int b = 0; b < 2 * kPanel; ++b) {
            out[b] = int8_t((packed[b] & 15) - 8);
            out[2 * kPanel + b] = int8_t((packed[b] >> 4) - 8);
        }
    }
}

void widen(const int8_t* codes, const uint8_t* alpha, const uint16_t* run_steps, int runs,
           int16_t* out) {
    for (int run = 0; run < runs; ++run, alpha += 2 * kPanel) {
        for (int k = 0; k < run_steps[run]; ++k, codes += 2 * kPanel, out += 2 * kPanel) {
            for (int b = 0; b < 2 * kPanel; ++b) out[b] = int16_t(codes[b] * alpha[b]);
        }
    }
}

}  // namespace

const Expand w2_expand = expand2;
const Expand w4_expand = expand4;
decltype(KernelSet::widen) const w8_widen = widen;

}  // namespace sub8::kernels::scalar
