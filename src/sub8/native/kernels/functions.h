// Functions of a byte, prepared once for the kernels that apply them to many (kernels/elements.h).
#pragma once

#include <cstdint>

namespace sub8::kernels {

// Any function: entries[x], by the byte.
//
// A shuffle of 16 entries looks up those that share the upper half of their index. So the entries
// of either half, x < 128 and x >= 128, are also kept as a sum, modulo 256: `times` x, and of every
// step whose first does not lie above x (x with its highest bit flipped, in the second half) the
// addend at the lower four bits of x. Stretches on which the function is constant, or rises with x
// as `times` says, need no step.
struct ByteFunction {
    struct Half {
        int times;  // 0, 1, 2 or 4
        int steps;
        std::uint8_t first[8];  // multiples of 16, rising
        std::uint8_t addends[8][16];
    };
    std::uint8_t entries[256];
    Half halves[2];
};

// clamp(rint((x - knee) * slope) + zero_point, low, high), the slope one of two: below the knee, or
// from it on; low and high are the ends of int8 or uint8. Slopes stay below 2**20 in magnitude.
struct Bend {
    bool is_signed;  // x
    int knee;
    int zero_point;
    int low;
    int high;
    static constexpr int kBeyond = 64;
};

}  // namespace sub8::kernels
