// An 8-bit input, and how it is stored for the kernels.
#pragma once

#include <cstdint>

namespace sub8::conv {

struct InputFormat {
    bool is_signed = false;
    int zero_point = 0;
};

// Kernels take activations of one sign (most uint8, NEON's int8): bytes of the other have their top
// bit flipped, which adds 128 to signed ones and subtracts it from unsigned ones.
struct StoredInput {
    uint8_t flip;  // XORed into every byte
    int zero;      // what a real 0 is stored as

    StoredInput(const InputFormat& format, bool kernels_take_signed)
        : flip(format.is_signed != kernels_take_signed ? 0x80 : 0),
          zero(format.zero_point + (flip == 0          ? 0
                                    : format.is_signed ? 128
                                                       : -128)) {}
};

}  // namespace sub8::conv
