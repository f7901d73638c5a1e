// Accumulators to 8-bit results, in plain C++ and all in int64.
#include "requantize/scalar.h"

#include "kernels/declarations.h"
#include "kernels/scalar/parts.h"

namespace sub8::kernels::scalar {

void requantize_from(const RequantizeArguments& t, int first_column) {
    const RequantizeConstants& c = *t.constants;
    const sub8::requantize::SumTo8Bit<int64_t> to_8_bit(c.shift, c.zero_point, c.low, c.high);
    for (int row = 0; row < t.rows; ++row) {
        const int32_t* acc = t.acc + row * t.acc_pitch;
        for (int j = first_column; j < t.columns; ++j) {
            // The sum of the true accumulator is in range; single products may wrap around, which
            // cancels.
            uint64_t sum = uint64_t(int64_t(acc[j])) * uint64_t(c.multiplier[t.output + j]) +
                           uint64_t(c.offset[t.output + j]);
            if (t.residual != nullptr) {
                const uint8_t byte = t.residual[row * t.pitch + j];
                const int64_t residual = c.residual_signed ? int64_t(int8_t(byte)) : int64_t(byte);
                sum += uint64_t(residual) * uint64_t(c.residual_multiplier);
            }
            t.out[row * t.pitch + j] = to_8_bit(int64_t(sum));
        }
    }
}

namespace {

void requantize_all(const RequantizeArguments& t) { requantize_from(t, 0); }

RequantizeKernel choose(const RequantizeConstants&) { return requantize_all; }

}  // namespace

decltype(KernelSet::requantize) const requantize = choose;

}  // namespace sub8::kernels::scalar
