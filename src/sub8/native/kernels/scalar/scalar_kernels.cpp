// Plain C++ kernels with the contracts and layouts of the fast ones: for any CPU, and for tests.
#include <cassert>

#include "kernels/kernels.h"
#include "kernels/scalar/scalar_kernels.h"
#include "kernels/tiles.h"

namespace sub8 {
namespace {

constexpr int kPanel = 16;

inline int16_t pair_lane(const uint8_t* a, const int8_t* w) {
    return int16_t(a[0] * w[0] + a[1] * w[1]);
}

void runs16(const TileArguments& t, const uint8_t* activations, int32_t* total, int rows) {
    const int8_t* weights = static_cast<const int8_t*>(t.weights);
    for (int r = 0; r < rows; ++r) {
        int32_t* acc = total + r * kPanel;
        if (t.first) {
            for (int o = 0; o < kPanel; ++o) acc[o] = 0;
        }
        int step = 0;
        for (int run = 0; run < t.runs; ++run) {
            int16_t sums[kPanel][2] = {};
            for (const int end = step + t.run_steps[run]; step < end; ++step) {
                const uint8_t* a = activations + step * t.pitch + 4 * r;
                const int8_t* w = weights + step * kPanel * 4;
                for (int o = 0; o < kPanel; ++o) {
                    sums[o][0] = int16_t(sums[o][0] + pair_lane(a, w + 4 * o));
                    sums[o][1] = int16_t(sums[o][1] + pair_lane(a + 2, w + 4 * o + 2));
                }
            }
            const uint8_t* alpha = t.alpha + run * kPanel * 2;
            for (int o = 0; o < kPanel; ++o) {
                acc[o] += alpha[2 * o] * sums[o][0] + alpha[2 * o + 1] * sums[o][1];
            }
        }
    }
}

void wide16(const TileArguments& t, const uint8_t* activations, int32_t* total, int rows) {
    const int16_t* weights = static_cast<const int16_t*>(t.weights);
    for (int r = 0; r < rows; ++r) {
        int32_t* acc = total + r * kPanel;
        if (t.first) {
            for (int o = 0; o < kPanel; ++o) acc[o] = 0;
        }
        for (int step = 0; step < t.steps; ++step) {
            const int16_t* a =
                reinterpret_cast<const int16_t*>(activations + step * t.pitch + 4 * r);
            const int16_t* w = weights + step * kPanel * 2;
            for (int o = 0; o < kPanel; ++o) acc[o] += a[0] * w[2 * o] + a[1] * w[2 * o + 1];
        }
    }
}

template <void (*kernel)(const TileArguments&, const uint8_t*, int32_t*, int), int rows>
void tile(const TileArguments& t, const uint8_t* activations, int32_t* total) {
    kernel(t, activations, total, rows);
}

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

void rescale(const RescaleArguments& t) { scalar::rescale(t, 0, t.columns); }

}  // namespace

namespace scalar {

void rescale(const RescaleArguments& t, int first_column, int columns) {
    const RescaleConstants& c = *t.constants;
    const uint64_t half = c.shift > 0 ? uint64_t(1) << (c.shift - 1) : 0;
    const uint64_t mask = (uint64_t(1) << c.shift) - 1;
    for (int row = 0; row < t.rows; ++row) {
        const int32_t* acc = t.acc + row * t.acc_pitch;
        for (int j = first_column; j < columns; ++j) {
            // The sum of the true accumulator is in range; single products may wrap around, which
            // cancels.
            uint64_t sum = uint64_t(int64_t(acc[j])) * uint64_t(c.multiplier[t.output + j]) +
                           uint64_t(c.offset[t.output + j]);
            if (t.residual != nullptr) {
                const uint8_t byte = t.residual[row * t.pitch + j];
                const int64_t residual = c.residual_signed ? int64_t(int8_t(byte)) : int64_t(byte);
                sum += uint64_t(residual) * uint64_t(c.residual_multiplier);
            }
            const int64_t value = int64_t(sum);
            int64_t result = value >> c.shift;
            const uint64_t rest = sum & mask;
            if (c.shift > 0 && (rest > half || (rest == half && (result & 1) != 0))) ++result;
            result += c.zero_point;
            result = result < c.low ? c.low : result > c.high ? c.high : result;
            t.out[row * t.pitch + j] = uint8_t(result);
        }
    }
}

void gather_slots(const SlotArguments& s, int first_slot, int last_slot, int first_position,
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

void depthwise(const DepthwiseArguments& t, const uint8_t* order) {
    for (int p = 0; p < t.positions; ++p) {
        for (int j = 0; j < kDepthwiseBlock; ++j) {
            const int channel = order[j];
            int32_t sum = 0;
            for (int pair = 0; pair < t.pairs; ++pair) {
                const int8_t* w = t.weights + pair * kDepthwiseStep + 2 * j;
                for (int tap = 0; tap < 2; ++tap) {
                    const int index = 2 * pair + tap;
                    const int x = t.rows[index][p * t.step + channel] ^ t.flip;
                    sum += x * (t.factors[2 * j] * w[tap] +
                                t.factors[2 * j + 1] * w[2 * kDepthwiseBlock + tap]);
                }
            }
            int32_t* acc = t.acc + p * t.acc_pitch + channel;
            const int32_t shifted = int32_t(uint32_t(sum) << t.left_shift);
            *acc = t.first ? shifted : *acc + shifted;
        }
    }
}

}  // namespace scalar

namespace {

void gather_slots(const SlotArguments& s) { scalar::gather_slots(s, 0, s.slots, 0, s.positions); }

void depthwise(const DepthwiseArguments& t) {
    scalar::depthwise(t, scalar_kernels().depthwise_order);
}

Kernels make_kernels() {
    Kernels k{};
    k.panel = kPanel;
    k.rows = 4;
    k.short_rows = k.two_rows = 4;
    k.runs16[1] = k.runs16_short[1] = k.runs16_two[1] = tiles<1, kPanel, tile<runs16, 1>>;
    k.runs16[2] = k.runs16_short[2] = k.runs16_two[2] = tiles<2, kPanel, tile<runs16, 2>>;
    k.runs16[3] = k.runs16_short[3] = k.runs16_two[3] = tiles<3, kPanel, tile<runs16, 3>>;
    k.runs16[4] = k.runs16_short[4] = k.runs16_two[4] = tiles<4, kPanel, tile<runs16, 4>>;
    k.wide16[1] = tiles<1, kPanel, tile<wide16, 1>>;
    k.wide16[2] = tiles<2, kPanel, tile<wide16, 2>>;
    k.wide16[3] = tiles<3, kPanel, tile<wide16, 3>>;
    k.wide16[4] = tiles<4, kPanel, tile<wide16, 4>>;
    k.expand2 = expand2;
    k.expand4 = expand4;
    k.widen = widen;
    k.rescale = rescale;
    k.gather_slots = gather_slots;
    k.depthwise = depthwise;
    for (int j = 0; j < kDepthwiseBlock; ++j) k.depthwise_order[j] = uint8_t(j);
    return k;
}

}  // namespace

const Kernels& scalar_kernels() {
    static const Kernels kernels = make_kernels();
    return kernels;
}

}  // namespace sub8
