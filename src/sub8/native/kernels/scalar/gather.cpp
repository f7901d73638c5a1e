// NHWC positions to slots, in plain C++: every slot order through its table.
#include "kernels/declarations.h"
#include "kernels/scalar/parts.h"

namespace sub8::kernels::scalar {

void gather_some(const SlotArguments& s, int first_slot, int last_slot, int first_position,
                 int last_position) {
    const int lanes = s.widen ? 2 : 4;
    for (int p = first_position; p < last_position; ++p) {
        const uint8_t* from = s.input + p * s.pitch;
        for (int q = first_slot; q < last_slot; ++q) {
            uint32_t word = 0;
            for (int lane = 0; lane < lanes; ++lane) {
                const int channel = s.table[4 * q + lane];
                if (channel < 0) continue;
                word |= uint32_t(uint8_t(from[channel] ^ s.flip)) << (lane * 32 / lanes);
            }
            s.out[q * s.out_pitch + p] = word;
        }
    }
}

namespace {

void gather_any(const SlotArguments& s) { gather_some(s, 0, s.slots, 0, s.positions); }

}  // namespace

decltype(KernelSet::gather_slots) const gather_slots = gather_any;

}  // namespace sub8::kernels::scalar
