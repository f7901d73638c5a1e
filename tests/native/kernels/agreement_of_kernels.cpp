// Every kernel of the catalogue makes what its operation is defined to make, to the bit, on random
// operands of every size that its loops tell apart. A new line in kernels/kernels.inc is a new case
// here. Run by test_agreement.py, for other CPUs under emulation.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>

#include "if_built.h"
#include "isa.h"
#include "kernels/catalogue.h"
#include "kernels/elements.h"
#include "kernels/prepared_functions.h"
#include "kernels/scalar/parts.h"
#include "kernels/winograd.h"
#include "operands.h"
#include "requantize/scalar.h"

namespace sub8::kernels {
namespace {

int failures = 0, compared = 0;

void require(bool agrees, const char* set, const char* name, const std::string& which) {
    ++compared;
    if (agrees) return;
    ++failures;
    std::printf("differs: %s %s, %s\n", set, name, which.c_str());
}

struct Kernel {
    const KernelSet& set;
    const char* set_name;
    const char* name;
    void require(bool agrees, const std::string& which) const {
        kernels::require(agrees, set_name, name, which);
    }
};

std::vector<std::vector<uint16_t>> run_lengths(TileKernels KernelSet::* place) {
    if (place == &KernelSet::runs16_two) return {{2}, {2, 2, 2}};
    return {{1}, {2}, {3}, {16}, {1, 1, 1}, {5, 4, 7}, {2, 2, 2, 2}};
}

void check(const Kernel& kernel, TileKernels KernelSet::* place) {
    const TileKernels& tiles = kernel.set.*place;
    const Arithmetic arithmetic = arithmetic_of(place);
    for (int rows = 1; rows <= tiles.rows; ++rows) {
        for (const std::vector<uint16_t>& lengths : run_lengths(place)) {
            for (bool first : {false, true}) {
                const int positions = 3 * rows;
                const int longest = *std::max_element(lengths.begin(), lengths.end());
                Steps steps(kernel.set, arithmetic, largest_weight(place, longest), lengths,
                            positions, unsigned(rows));
                const std::size_t count = std::size_t(positions) * kernel.set.panel;
                auto acc = aligned_array<int32_t>(count);
                for (const auto lie :
                     {Steps::Rows::neighbours, Steps::Rows::apart, Steps::Rows::uneven}) {
                    if (lie != Steps::Rows::neighbours && !tiles.rows_apart) continue;
                    if (lie == Steps::Rows::uneven && arithmetic == Arithmetic::wide16) continue;
                    for (std::size_t i = 0; i < count; ++i) acc[i] = int32_t(i * 37);
                    const std::vector<int32_t> before(acc.get(), acc.get() + count);
                    const bool scaled =
                        arithmetic == Arithmetic::wide16 || arithmetic == Arithmetic::dot;
                    const std::vector<int32_t> wanted =
                        steps.expected(first ? std::vector<int32_t>(count, 0) : before, scaled);
                    tiles.of[rows](steps.tile(rows, acc.get(), first, lie));
                    kernel.require(std::equal(wanted.begin(), wanted.end(), acc.get()),
                                   std::to_string(rows) + " rows, " +
                                       std::to_string(steps.steps()) + " steps, way " +
                                       std::to_string(int(lie)));
                }
            }
        }
    }
}

void check(const Kernel& kernel, RowKernel KernelSet::* place) {
    const RowKernel& row = kernel.set.*place;
    for (const weights::Format& format : weights::kFormatTable) {
        if (format.row != place) continue;
        for (const std::vector<uint16_t>& lengths : std::vector<std::vector<uint16_t>>{
                 {1}, {2}, {3, 4}, {2, 2, 2}, {1, 2, 1, 5}, {9, 8}, {16, 17}, {40}}) {
            for (bool first : {false, true}) {
                const bool short_sums = row.arithmetic == Arithmetic::runs16;
                const int longest = *std::max_element(lengths.begin(), lengths.end());
                const int largest =
                    short_sums ? std::min(format.largest, 32767 / (510 * longest)) : format.largest;
                Steps steps(kernel.set, row.arithmetic, largest, lengths, 1, 3);
                const std::size_t count = std::size_t(kernel.set.panel);
                auto acc = aligned_array<int32_t>(count);
                for (std::size_t i = 0; i < count; ++i) acc[i] = int32_t(i * 37);
                const std::vector<int32_t> before(acc.get(), acc.get() + count);
                const std::vector<int32_t> wanted =
                    steps.expected(first ? std::vector<int32_t>(count, 0) : before, false);
                row.run(steps.row(format, acc.get(), first));
                kernel.require(std::equal(wanted.begin(), wanted.end(), acc.get()),
                               std::to_string(steps.steps()) + " steps");
            }
        }
    }
}

void check(const Kernel& kernel, Expand KernelSet::* place) {
    for (const weights::Format& format : weights::kFormatTable) {
        if (format.expand != place) continue;
        for (uint16_t count : {2, 4, 6, 32}) {
            const Steps steps(kernel.set, Arithmetic::dot, format.largest, {count}, 1, count);
            const int vectors = steps.vectors(format);
            auto codes = aligned_array<int8_t>(std::size_t(vectors) * 2 * kernel.set.panel);
            (kernel.set.*place)(steps.packed(format).get(), vectors, codes.get());
            kernel.require(std::equal(steps.weights().begin(), steps.weights().end(), codes.get()),
                           std::to_string(count) + " steps");
        }
    }
}

void check(const Kernel& kernel, decltype(KernelSet::widen) KernelSet::* place) {
    std::mt19937 random(1);
    const int step = 2 * kernel.set.panel;
    const uint16_t lengths[] = {1, 3, 2};
    auto codes = aligned_array<int8_t>(6 * step);
    auto alpha = aligned_array<uint8_t>(3 * step);
    auto out = aligned_array<int16_t>(6 * step);
    for (int i = 0; i < 6 * step; ++i) codes[i] = int8_t(random());
    for (int i = 0; i < 3 * step; ++i) alpha[i] = uint8_t(random());
    (kernel.set.*place)(codes.get(), alpha.get(), lengths, 3, out.get());
    bool agrees = true;
    const int runs[] = {0, 1, 1, 1, 2, 2};
    for (int i = 0; i < 6 * step; ++i)
        agrees = agrees && out[i] == int16_t(codes[i] * alpha[runs[i / step] * step + i % step]);
    kernel.require(agrees, "widened");
}

void check(const Kernel& kernel, ExpandScaled KernelSet::* place) {
    std::mt19937 random(6);
    const weights::Format& ternary = weights::format("ternary");
    const int step = 4 * kernel.set.panel;
    for (const std::vector<uint16_t>& lengths :
         std::vector<std::vector<uint16_t>>{{1}, {2}, {1, 3, 2}, {4, 1, 1, 1}}) {
        const Steps steps(kernel.set, Arithmetic::dot, 1, lengths, 1, unsigned(lengths.size()));
        auto alpha = aligned_array<uint8_t>(lengths.size() * step / 2);
        for (std::size_t i = 0; i < lengths.size() * step / 2; ++i)
            alpha[i] = uint8_t(random() % 128);
        auto out = aligned_array<int8_t>(std::size_t(steps.steps()) * step);
        (kernel.set.*place)(steps.packed(ternary).get(), alpha.get(), lengths.data(),
                            int(lengths.size()), out.get());
        bool agrees = true;
        int at = 0;
        for (std::size_t run = 0; run < lengths.size(); ++run) {
            for (int i = 0; i < lengths[run] * step; ++i, ++at) {
                const int scale = alpha[run * step / 2 + i % step / 2];
                agrees = agrees && out[at] == steps.weights()[at] * scale;
            }
        }
        kernel.require(agrees, std::to_string(steps.steps()) + " steps");
    }
}

void check(const Kernel& kernel, decltype(KernelSet::requantize) KernelSet::* place) {
    std::mt19937 random(2);
    const int panel = kernel.set.panel, pitch = 2 * panel;
    for (int variant = 0; variant < 256; ++variant) {
        RequantizeConstants c{};
        c.narrow = variant % 2 == 0;
        c.wide = !c.narrow && variant / 128 % 2 == 0;
        c.has_residual = variant / 2 % 2 == 0;
        c.out_signed = variant / 4 % 2 == 0;
        c.residual_signed = variant / 8 % 2 == 0;
        c.shift = variant / 16 % 2 == 0 ? int(random() % 16) : 16 + int(random() % 10);
        c.acc_shift = variant / 32 % 2 == 0 ? 0 : 2;
        c.residual_shift = int(random() % 8);
        c.residual_multiplier = int64_t(1) << c.residual_shift;
        const bool saturating = variant / 64 % 2 == 0;
        c.zero_point = saturating || variant % 5 == 0 ? 0 : 7;
        c.low = (c.out_signed ? -128 : 0) + (saturating || variant % 3 == 0 ? 0 : 5);
        c.high = (c.out_signed ? 127 : 255) - (saturating ? 0 : 9);
        std::vector<int64_t> multiplier(2 * panel, int64_t(1) << c.acc_shift), offset(2 * panel);
        std::vector<int32_t> offset32(2 * panel);
        for (int o = 0; o < 2 * panel; ++o)
            offset[o] = offset32[o] = int32_t(random() % 4096) - 2048;
        if (c.wide) {
            // Half of the multipliers have few ones: then many accumulators lie on ties.
            c.shift = 32 + int(random() % 14);
            c.residual_multiplier = int64_t(1 + random() % 3) << std::min(c.shift - 8, 29);
            c.ties = true;
            for (int o = 0; o < 2 * panel; ++o) {
                multiplier[o] = o % 2 == 0 ? int64_t(random() >> 1) : int64_t(1) << (c.shift - 15);
                offset[o] = (int64_t(random()) - (int64_t(1) << 31)) * multiplier[o] / 4096;
                if (o % 2 != 0)
                    offset[o] = (offset[o] >> (c.shift - 2)) * (int64_t(1) << (c.shift - 2));
            }
        }
        // Zero points that are even, and sums that saturate before float32 rounds them.
        c.in_float = c.narrow && c.shift < 16 && variant / 128 % 2 == 0;
        if (c.in_float && !saturating) c.zero_point = 6;
        c.scale = std::ldexp(1.0F, (c.has_residual ? 0 : c.acc_shift) - c.shift);
        std::vector<float> float_offset;
        for (const int32_t value : offset32)
            float_offset.push_back(std::ldexp(float(value), -c.shift) + float(c.zero_point));
        c.multiplier = multiplier.data();
        c.offset = offset.data();
        c.offset32 = offset32.data();
        c.float_offset = float_offset.data();
        for (int rows : {1, 2, 5}) {
            for (int columns = 1; columns <= panel; ++columns) {
                std::vector<int32_t> acc(std::size_t(rows) * pitch);
                std::vector<uint8_t> residual(std::size_t(rows) * pitch),
                    out(residual.size(), 0x55);
                for (int32_t& value : acc) value = int32_t(random() % (1 << 20)) - (1 << 19);
                for (uint8_t& value : residual) value = uint8_t(random());
                RequantizeArguments t{acc.data(),
                                      pitch,
                                      rows,
                                      columns,
                                      1,
                                      &c,
                                      c.has_residual ? residual.data() : nullptr,
                                      out.data(),
                                      pitch};
                const requantize::SumTo8Bit<int64_t> to_8_bit(c.shift, c.zero_point, c.low, c.high);
                std::vector<uint8_t> wanted(out.size(), 0x55);
                for (int r = 0; r < rows; ++r) {
                    for (int j = 0; j < columns; ++j) {
                        const int i = r * pitch + j;
                        int64_t sum = acc[i] * multiplier[1 + j] + offset[1 + j];
                        const int added = c.residual_signed ? int8_t(residual[i]) : residual[i];
                        if (c.has_residual) sum += added * c.residual_multiplier;
                        wanted[i] = to_8_bit(sum);
                    }
                }
                (kernel.set.*place)(c)(t);
                kernel.require(out == wanted, std::to_string(variant) + ", " +
                                                  std::to_string(columns) + " columns");
            }
        }
    }
}

std::vector<int32_t> channels_of(SlotOrder order, int slots, int cluster) {
    std::vector<int32_t> table;
    for (int q = 0; q < slots; ++q) {
        for (int lane = 0; lane < 4; ++lane) {
            int channel = 4 * q + lane;
            if (order == SlotOrder::wide) channel = lane < 2 ? 2 * q + lane : -1;
            if (order == SlotOrder::paired4)
                channel = q / 2 * 8 + q % 2 * 2 + lane / 2 * 4 + lane % 2;
            if (order == SlotOrder::paired_long) {
                const int within = 2 * q % cluster, pair = 2 * q / cluster;
                channel = pair * 2 * cluster + lane / 2 * cluster + within + lane % 2;
            }
            table.push_back(channel);
        }
    }
    return table;
}

void check(const Kernel& kernel, decltype(KernelSet::gather_slots) KernelSet::* place) {
    std::mt19937 random(3);
    for (SlotOrder order : {SlotOrder::contiguous, SlotOrder::paired4, SlotOrder::paired_long,
                            SlotOrder::wide, SlotOrder::table}) {
        for (int slots : {8, 16, 24}) {
            for (int positions = 1; positions <= 18; ++positions) {
                const int cluster = 16, channels = 4 * slots;
                const std::vector<int32_t> table = channels_of(order, slots, cluster);
                std::vector<uint8_t> input(std::size_t(positions) * channels);
                for (uint8_t& value : input) value = uint8_t(random());
                SlotArguments s{};
                s.input = input.data();
                s.pitch = channels;
                s.positions = positions;
                s.readable = ptrdiff_t(input.size());
                s.order = order;
                s.cluster = cluster;
                s.table = table.data();
                s.slots = slots;
                s.flip = positions % 2 == 0 ? 0x80 : 0;
                s.widen = order == SlotOrder::wide;
                s.out_pitch = positions;
                std::vector<uint32_t> out(std::size_t(slots) * positions + 8), wanted(out.size());
                s.out = wanted.data();
                scalar::gather_some(s, 0, slots, 0, positions);
                s.out = out.data();
                (kernel.set.*place)(s);
                kernel.require(
                    std::equal(out.begin(), out.end() - 8, wanted.begin()),
                    std::to_string(slots) + " slots, " + std::to_string(positions) + " positions");
            }
        }
    }
}

// Where the taps of a depthwise kernel lie: in rows of three columns, the positions as far apart as
// one column or two, or each somewhere.
enum class Taps { stride1, stride2, apart };

void check_depthwise(const Kernel& kernel, const DepthwiseKernel& depthwise, Taps taps, int pairs,
                     int positions, int variant, std::mt19937& random) {
    const int step = kDepthwiseBlock * (taps == Taps::stride2 ? 2 : 1);
    const int pitch = kDepthwiseBlock + 8, row = (2 * positions + 3) * kDepthwiseBlock;
    std::vector<uint8_t> input(std::size_t(2 * pairs) * row);
    for (uint8_t& value : input) value = uint8_t(random());
    std::vector<const uint8_t*> rows;
    for (int tap = 0; tap < 2 * pairs; ++tap) {
        const int place = taps == Taps::apart ? tap * row + int(random() % 2) * kDepthwiseBlock
                                              : tap / 3 * row + tap % 3 * kDepthwiseBlock;
        rows.push_back(&input[place]);
    }
    std::vector<int8_t> parts(std::size_t(pairs) * kDepthwiseStep);
    const bool odd = variant / 8 % 2 != 0;  // then the last tap only fills up its pair
    for (int pair = 0; pair < pairs; ++pair) {
        for (int j = 0; j < 2 * kDepthwiseBlock; ++j) {
            const bool none = odd && pair == pairs - 1 && j % 2 == 1;
            const int value = none ? 0 : int8_t(random()), high = (value + 8) >> 4;
            parts[pair * kDepthwiseStep + j] = int8_t(value - 16 * high);
            parts[pair * kDepthwiseStep + 2 * kDepthwiseBlock + j] = int8_t(high);
        }
    }
    std::vector<int16_t> factors;
    for (int j = 0; j < kDepthwiseBlock; ++j) {
        factors.push_back(int16_t(random() % 256));
        factors.push_back(int16_t(16 * factors.back()));
    }
    std::vector<int32_t> acc(std::size_t(positions) * pitch);
    for (int32_t& value : acc) value = int32_t(random() % 1000);
    DepthwiseArguments t{};
    t.rows = rows.data();
    t.step = step;
    t.pairs = pairs;
    t.weights = parts.data();
    t.factors = factors.data();
    t.positions = positions;
    t.flip = variant % 2 == 0 ? 0x80 : 0;
    t.left_shift = variant / 2 % 2 == 0 ? 0 : 3;
    t.first = variant / 4 % 2 == 0;
    t.acc = acc.data();
    t.acc_pitch = pitch;
    std::vector<int32_t> wanted = acc;
    for (int p = 0; p < positions; ++p) {
        for (int j = 0; j < kDepthwiseBlock; ++j) {
            const int channel = depthwise.order[j];
            int32_t sum = 0;
            for (int tap = 0; tap < 2 * pairs; ++tap) {
                const int8_t* w = &parts[tap / 2 * kDepthwiseStep + 2 * j + tap % 2];
                sum += (rows[tap][p * step + channel] ^ t.flip) *
                       (w[0] + 16 * w[2 * kDepthwiseBlock]) * factors[2 * j];
            }
            int32_t& at = wanted[p * pitch + channel];
            at = (t.first ? 0 : at) + int32_t(uint32_t(sum) << t.left_shift);
        }
    }
    depthwise.run(t);
    kernel.require(acc == wanted,
                   std::to_string(pairs) + " pairs, " + std::to_string(positions) + " positions");
}

void check(const Kernel& kernel, DepthwiseKernel KernelSet::* place) {
    std::mt19937 random(4);
    for (int pairs = 1; pairs <= kDepthwisePairs; ++pairs) {
        for (Taps taps : {Taps::stride1, Taps::stride2, Taps::apart}) {
            if (taps == Taps::stride2 && pairs != 5) continue;  // 3x3
            for (int positions : {1, 2, 3, 4, 6, 9}) {
                for (int variant = 0; variant < 16; ++variant) {
                    check_depthwise(kernel, kernel.set.*place, taps, pairs, positions, variant,
                                    random);
                }
            }
        }
    }
}

// variant: bytes or sums, padding that counts, inputs and results with their top bit flipped.
struct LineCase {
    int lines, size, stride, positions, first, variant;
};

void check_depthwise_line(const Kernel& kernel, const DepthwiseLines& given, const LineCase& c,
                          std::mt19937& random) {
    const bool sums = c.variant % 2 != 0, padded = c.variant / 2 % 2 != 0;
    const uint8_t flip = c.variant / 4 % 2 != 0 ? 0x80 : 0;
    constexpr int kShift = 12;
    const int vector = given.vector, block = vector / c.lines, size = c.size;
    const int step = block + 8, pitch = block + 4;
    const int columns = std::max(1, (c.positions - 1) * c.stride + size - 2);
    const int line_bytes = columns * step;
    std::vector<uint8_t> input(std::size_t(c.lines + size) * line_bytes), padding(block, 77);
    for (uint8_t& value : input) value = uint8_t(random());
    std::vector<const uint8_t*> rows;
    for (int line = 0; line < c.lines; ++line) {
        for (int row = 0; row < size; ++row)
            rows.push_back(&input[std::size_t(line + row) * line_bytes]);
    }
    std::vector<int8_t> weights, stored;
    for (int i = 0; i < size * size * block; ++i) weights.push_back(int8_t(random()));
    const auto weight = [&](int row, int column, int channel) {
        return weights[std::size_t((row * size + column) * block + channel)];
    };
    std::vector<int32_t> factors, offsets;
    for (int channel = 0; channel < block; ++channel) {
        factors.push_back(sums && padded ? 1 : int32_t(1 + random() % 255));
        offsets.push_back(int32_t(random() % (1 << 20)));
    }
    for (int column = 0; column < size; ++column) {
        for (int four = 0; four < size; four += 4) {
            for (int place = 0; place < vector; ++place) {
                const int channel = depthwise_line_byte(vector, place) % block;
                int8_t taps[4] = {};
                for (int row = four; row < std::min(size, four + 4); ++row)
                    taps[row == 4 ? place / (vector / 4) : row] = weight(row, column, channel);
                stored.insert(stored.end(), taps, taps + 4);
            }
        }
    }
    std::vector<float> scale, offset;
    std::vector<int32_t> all_factors;
    for (int place = 0; place < vector; ++place) {
        const int channel = depthwise_line_byte(vector, place) % block;
        scale.push_back(float(factors[channel]) / (1 << kShift));
        offset.push_back(float(offsets[channel]) / (1 << kShift));
        all_factors.push_back(factors[place % block]);
    }
    std::vector<uint8_t> out(std::size_t(c.lines * c.positions) * pitch, 0x55), wanted = out;
    std::vector<int32_t> acc(std::size_t(c.lines * c.positions) * block, 0x55), wanted_acc = acc;
    std::vector<uint8_t*> outs;
    for (int line = 0; line < c.lines; ++line) outs.push_back(&out[line * c.positions * pitch]);
    DepthwiseLineArguments t{};
    t.rows = rows.data();
    t.padding = padded ? padding.data() : nullptr;
    t.step = step;
    t.columns = columns;
    t.first = c.first;
    t.positions = c.positions;
    t.flip = flip;
    t.weights = stored.data();
    t.scale = scale.data();
    t.offset = offset.data();
    t.low = flip != 0 ? 9 : 0;
    t.high = 230;
    t.out_flip = flip;
    t.out = sums ? nullptr : outs.data();
    t.pitch = pitch;
    t.factors = sums && padded ? nullptr : all_factors.data();
    t.acc = acc.data();
    given.choose(c.lines, size, size, c.stride)(t);
    const requantize::SumTo8Bit<int32_t> to_8_bit(kShift, 0, t.low, t.high);
    for (int at = 0; at < c.lines * c.positions; ++at) {
        const uint8_t* const* const taps = &rows[at / c.positions * size];
        for (int channel = 0; channel < block; ++channel) {
            int32_t sum = 0;
            for (int column = 0; column < size; ++column) {
                const int x = c.first + at % c.positions * c.stride + column;
                const bool outside = x < 0 || x >= columns;
                if (outside && !padded) continue;
                for (int row = 0; row < size; ++row) {
                    const uint8_t value =
                        outside ? padding[channel] : taps[row][x * step + channel];
                    sum += (value ^ flip) * weight(row, column, channel);
                }
            }
            sum *= factors[channel];
            if (sums) wanted_acc[at * block + channel] = sum;
            if (!sums) wanted[at * pitch + channel] = to_8_bit(sum + offsets[channel]) ^ flip;
        }
    }
    kernel.require(out == wanted && acc == wanted_acc,
                   std::to_string(c.lines) + " lines, " + std::to_string(size) + " columns, " +
                       std::to_string(c.positions) + " positions, variant " +
                       std::to_string(c.variant));
}

void check(const Kernel& kernel, DepthwiseLines KernelSet::* place) {
    std::mt19937 random(9);
    const DepthwiseLines& given = kernel.set.*place;
    for (int lines = 1; lines <= given.most_lines; lines *= 2) {
        for (int size : {3, 5}) {
            for (int stride : {1, 2}) {
                for (int positions : {1, 2, 3, 4, 7, 11}) {
                    for (int variant = 0; variant < 8; ++variant) {
                        for (int first : {-size / 2, 0, 1})
                            check_depthwise_line(kernel, given,
                                                 {lines, size, stride, positions, first, variant},
                                                 random);
                    }
                }
            }
        }
    }
}

// How a form's weights are given.
struct WinogradOperands {
    int channels;
    int lanes;  // 4, or 2; of four, the last slot's upper two may hold none
    bool scaled;
    bool factors;
};

// A row of tiles through all three transforms is the convolution. grid: the form on whose points
// the tiles lie, and whose weights theirs are; but for edges the form itself.
void check_winograd(const Kernel& kernel, const WinogradForm& form, const WinogradForm& grid,
                    int tiles, const WinogradOperands& given, std::mt19937& random) {
    const int panel = kernel.set.panel, channels = given.channels, pairs = channels / 2;
    const int taps = form.taps, columns = tiles * form.columns + taps - 1;
    std::vector<uint8_t> input(std::size_t(form.rows + taps - 1) * columns * channels);
    for (uint8_t& value : input) value = uint8_t(random());
    // Slots of a pair or two, the second of which the last has none.
    const int lanes = given.lanes, halves = lanes / 2;
    const int slots = lanes == 2 ? pairs : pairs / 2 + 1;
    std::vector<int32_t> pair_of(std::size_t(slots) * halves, -1), runs;
    for (int pair = 0; pair < pairs; ++pair)
        pair_of[pair < pairs - 1 ? pair : pair + halves - 1] = pair;
    for (int slot = 0; slot < slots; ++slot) runs.push_back(slot / 2);
    auto codes = aligned_array<int8_t>(std::size_t(slots) * taps * taps * panel * lanes);
    for (int i = 0; i < slots * taps * taps * panel * lanes; ++i)
        codes[i] = int8_t(int(random() % 15) - 7);
    auto alpha = aligned_array<uint8_t>(std::size_t(slots) * panel * 2);
    for (int i = 0; i < slots * panel * 2; ++i) alpha[i] = uint8_t(random() % 16);
    // [channel][tap][output]
    std::vector<int> weights(std::size_t(channels) * taps * taps * panel);
    for (int place = 0; place < slots * halves; ++place) {
        if (pair_of[place] < 0) continue;
        const int slot = place / halves;
        for (int lane = 0; lane < 2; ++lane) {
            for (int tap = 0; tap < taps * taps; ++tap) {
                for (int o = 0; o < panel; ++o) {
                    const int at = place % halves * 2 + lane;
                    const int half = lanes == 2 ? lane : place % halves;
                    weights[((pair_of[place] * 2 + lane) * taps * taps + tap) * panel + o] =
                        codes[((slot * taps * taps + tap) * panel + o) * lanes + at] *
                        (given.scaled ? alpha[(runs[slot] * panel + o) * 2 + half] : 1);
                }
            }
        }
    }
    std::vector<int32_t> factors(std::size_t(panel), 1);
    if (given.factors) {
        for (int32_t& factor : factors) factor = int32_t(random() % 7);
    }

    const int points = grid.points(), grid_across = grid.points_across();
    auto transformed = aligned_array<int16_t>(std::size_t(points) * tiles * channels);
    auto kernels = aligned_array<int16_t>(std::size_t(points) * pairs * panel * 2);
    auto products = aligned_array<int32_t>(std::size_t(points) * tiles * panel);
    auto acc = aligned_array<int32_t>(std::size_t(form.rows) * tiles * form.columns * panel);
    form.input({input.data(), columns * channels, channels, tiles, 0, transformed.get(),
                tiles * channels});
    if (grid.weights != nullptr) {
        grid.weights({codes.get(), lanes, slots, given.scaled ? alpha.get() : nullptr, runs.data(),
                      pair_of.data(), kernels.get(), pairs * panel * 2});
    } else {  // of 4x4
        for (int i = 0; i < points * channels * panel; ++i) {
            const int point = i / (channels * panel), channel = i / panel % channels, o = i % panel;
            int sum = 0;
            for (int tap = 0; tap < taps * taps; ++tap) {
                sum += kKernelTransform3x4[point / grid_across][tap / taps] *
                       kKernelTransform3x4[point % grid_across][tap % taps] *
                       weights[(channel * taps * taps + tap) * panel + o];
            }
            kernels[((point * pairs + channel / 2) * panel + o) * 2 + channel % 2] = int16_t(sum);
        }
    }
    for (int point = 0; point < points; ++point) {
        for (int tile = 0; tile < tiles; ++tile) {
            for (int o = 0; o < panel; ++o) {
                uint32_t sum = 0;
                for (int pair = 0; pair < pairs; ++pair) {
                    const int16_t* x = &transformed[(point * tiles + tile) * channels + 2 * pair];
                    const int16_t* w = &kernels[((point * pairs + pair) * panel + o) * 2];
                    sum += uint32_t(x[0] * w[0] + x[1] * w[1]);
                }
                products[(point * tiles + tile) * panel + o] = int32_t(sum);
            }
        }
    }
    const int row_pitch = tiles * form.columns * panel;
    form.output({products.get(), tiles * panel, tiles, given.factors ? factors.data() : nullptr,
                 acc.get(), row_pitch});
    bool agrees = true;
    for (int y = 0; y < form.rows; ++y) {
        for (int x = 0; x < tiles * form.columns; ++x) {
            std::vector<int32_t> sums(std::size_t(panel), 0);
            for (int c = 0; c < channels; ++c) {
                for (int tap = 0; tap < taps * taps; ++tap) {
                    const int at = (y + tap / taps) * columns + x + tap % taps;
                    for (int o = 0; o < panel; ++o)
                        sums[o] +=
                            input[at * channels + c] * weights[(c * taps * taps + tap) * panel + o];
                }
            }
            for (int o = 0; o < panel; ++o)
                agrees = agrees && acc[y * row_pitch + x * panel + o] == sums[o] * factors[o];
        }
    }
    kernel.require(agrees, std::to_string(form.rows) + "x" + std::to_string(form.columns) + ", " +
                               std::to_string(tiles) + " tiles, " + std::to_string(channels) +
                               " channels");
}

void check(const Kernel& kernel, const WinogradForms* KernelSet::* place) {
    std::mt19937 random(5);
    const WinogradForms& forms = *(kernel.set.*place);
    const WinogradOperands operands[] = {
        {16, 4, false, true}, {48, 4, true, false}, {32, 2, true, false}, {64, 4, false, false}};
    for (const WinogradOperands& given : operands) {
        for (int tiles : {1, 3, 8, 9}) {
            for (const WinogradForm& form : forms.taps3) {
                check_winograd(kernel, form, form, tiles, given, random);
                if (form.edges == nullptr) continue;
                check_winograd(kernel, form.edges->below, form, tiles, given, random);
                if (tiles > 1) continue;
                check_winograd(kernel, form.edges->right, form, tiles, given, random);
                check_winograd(kernel, form.edges->corner, form, tiles, given, random);
            }
            check_winograd(kernel, forms.taps4, forms.taps4, tiles, {16, 2, false, true}, random);
        }
    }
}

// The same source for all; the plain build of it is what the others must equal.
void check(const Kernel& kernel, ElementKernels KernelSet::* place) {
    const ElementKernels& elements = kernel.set.*place;
    const ElementKernels& plain = kernels_for(Isa::scalar).elements;
    std::mt19937 random(6);
    for (int count : {1, 7, 31, 32, 64, 100, 257, 700, 701}) {
        const std::size_t size = std::size_t(count);
        std::vector<float> x(size), y(size), z(size);
        std::vector<uint8_t> a(size * 3), b(size), out(size * 3), wanted(size * 3), table(256);
        std::vector<int32_t> sums(size), wanted_sums(size);
        for (float& value : x) value = (float(random() % 65536) - 32768.0f) / 64.0f;
        for (uint8_t& value : a) value = uint8_t(random());
        for (uint8_t& value : b) value = uint8_t(random());
        for (uint8_t& value : table) value = uint8_t(random());
        const auto both = [&](const char* what, const auto& run) {
            run(elements, out.data(), sums.data(), y.data());
            run(plain, wanted.data(), wanted_sums.data(), z.data());
            kernel.require(out == wanted && sums == wanted_sums &&
                               std::memcmp(y.data(), z.data(), size * 4) == 0,
                           std::string(what) + " of " + std::to_string(count));
        };
        for (const float scale : {1.5f, 4.0f, 0x1p-126f, 0x1p127f}) {
            both("quantize", [&](const ElementKernels& k, uint8_t* o, int32_t*, float*) {
                k.quantize(x.data(), count, scale, 3, -128, 127, o);
            });
        }
        both("interleave", [&](const ElementKernels& k, uint8_t* o, int32_t*, float*) {
            k.interleave(a.data(), count, 3, count, o, 3);
        });
        for (bool is_signed : {false, true}) {
            both("dequantize", [&](const ElementKernels& k, uint8_t*, int32_t*, float* f) {
                k.dequantize(b.data(), count, is_signed, 5, 0.25f, f);
            });
            both("largest_of_rows", [&](const ElementKernels& k, uint8_t* o, int32_t*, float*) {
                const uint8_t* rows[] = {a.data(), a.data() + count, b.data()};
                k.largest_of_rows(rows, 3, count, is_signed, o);
            });
            both("add_rows", [&](const ElementKernels& k, uint8_t*, int32_t* s, float*) {
                k.add_rows(a.data(), 3, count, count, is_signed, s);
            });
            for (int variant = 0; variant < 16; ++variant) {
                BinaryArithmetic k;
                k.multiplier_a = 3;
                k.multiplier_b = 5;
                k.offset = -70;
                k.zero_a = 2;
                k.zero_b = 4;
                k.result.shift = variant % 2 == 0 ? 0 : 6;
                k.result.zero_point = 1;
                k.signed_a = is_signed;
                k.product = variant / 2 % 2 == 0;
                k.narrow = variant / 4 % 2 == 0;
                const int step = variant / 8;
                both("binary", [&](const ElementKernels& e, uint8_t* o, int32_t*, float*) {
                    e.binary(a.data(), 1, b.data(), step, count, k, o);
                });
            }
        }
        // Any function; one that is straight here and there; one that moves with x; in rows of a
        // wider array.
        for (int variant = 0; variant < 3; ++variant) {
            for (int byte = 0; variant > 0 && byte < 256; ++byte) {
                const int straight = byte < 128 ? byte + 3 : byte < 200 ? 7 : byte - 9;
                table[std::size_t(byte)] = uint8_t(variant == 1 ? straight
                                                   : byte < 128 ? 2 * byte + 1
                                                                : 4 * byte);
            }
            const ByteFunction function = byte_function(table.data());
            both("look_up", [&](const ElementKernels& k, uint8_t* o, int32_t*, float*) {
                k.look_up(b.data(), 1, count, count, function, o);
            });
            both("look_up in rows", [&](const ElementKernels& k, uint8_t* o, int32_t*, float*) {
                const int columns = count / 3 + 1;
                for (int i = 0; i < 3 * count; ++i) o[i] = a[std::size_t(i)];
                k.look_up(o, 3 * count / (columns + 1), columns, columns + 1, function, o);
            });
        }
        both("bend", [&](const ElementKernels& k, uint8_t* o, int32_t*, float*) {
            const std::vector<float> below(size + Bend::kBeyond, 0.32f),
                above(size + Bend::kBeyond, 1.007f);
            for (int i = 0; i < 3 * count; ++i) o[i] = a[std::size_t(i)];
            k.bend(o, 3, count, count, below.data(), above.data(), {true, -3, 5, -128, 127});
            k.bend(o, 2, count - count / 4, count, above.data(), below.data(),
                   {false, 40, 0, 0, 255});
        });
        both("narrow_sum", [&](const ElementKernels& k, uint8_t* o, int32_t* s, float*) {
            const std::vector<int32_t> wide(size, 12345);
            const NarrowTerm terms[] = {{a.data(), NarrowTerm::Type::u8, 1, 4},
                                        {b.data(), NarrowTerm::Type::s8, 1, 0},
                                        {wide.data(), NarrowTerm::Type::s32, 1, 2}};
            k.narrow_sum(terms, 3, count, 100, 60000, s);
            k.narrow_round(s, count, 7, 0, 255, o);
        });
        kernel.require(elements.largest_magnitude(x.data(), count) ==
                               plain.largest_magnitude(x.data(), count) &&
                           elements.largest_total(sums.data(), count) ==
                               plain.largest_total(sums.data(), count),
                       "largest of " + std::to_string(count));
    }
}

void check(const Kernel& kernel, CountBits KernelSet::* place) {
    std::mt19937 random(8);
    std::vector<uint8_t> data(2001);
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = i < 1000 ? 0xFF : uint8_t(random());
    for (std::size_t begin : {0, 1, 1000}) {
        for (int64_t bytes : {0, 1, 7, 8, 9, 16, 31, 248, 249, 256, 1000}) {
            int64_t wanted[2] = {}, even = -1, odd = -1;
            for (int64_t i = 0; i < 8 * bytes; ++i)
                wanted[i % 2] += data[begin + std::size_t(i / 8)] >> (i % 8) & 1;
            (kernel.set.*place)(data.data() + begin, bytes, &even, &odd);
            kernel.require(even == wanted[0] && odd == wanted[1], std::to_string(bytes) + " bytes");
        }
    }
}

void check(const Kernel& kernel, Checksum KernelSet::* place) {
    std::mt19937 random(7);
    std::vector<uint8_t> data(1001);
    for (uint8_t& byte : data) byte = uint8_t(random());
    for (std::size_t begin : {0, 1, 8}) {
        for (std::size_t bytes : {0, 1, 15, 16, 63, 64, 65, 80, 127, 128, 200, 993}) {
            const auto first = uint32_t(random());
            uint32_t rest = first;
            for (std::size_t i = begin; i < begin + bytes; ++i) {
                rest ^= data[i];
                for (int bit = 0; bit < 8; ++bit) rest = (rest >> 1) ^ (rest & 1 ? 0xEDB88320 : 0);
            }
            kernel.require((kernel.set.*place)(data.data() + begin, bytes, first) == rest,
                           std::to_string(bytes) + " bytes");
        }
    }
}

bool is_asked_for(Isa isa, int count, char** names) {
    return count < 2 ||
           std::find(names + 1, names + count, std::string(isa_name(isa))) != names + count;
}

void check_set(Isa isa) {
    const KernelSet& set = kernels_for(isa);
#define SUB8_PANEL(name, outputs, is_signed)
#define SUB8_KERNEL(name, place, home, kernel) \
    if (isa == Isa::name) check(Kernel{set, #name, #kernel}, &KernelSet::place);
#include "kernels/kernels.inc"
#undef SUB8_KERNEL
#undef SUB8_PANEL
}

}  // namespace
}  // namespace sub8::kernels

// Arguments: the sets to check; none: all of this CPU.
int main(int count, char** names) {
    for (sub8::Isa isa : sub8::supported_isas()) {
        if (!sub8::kernels::is_asked_for(isa, count, names)) continue;
        const int before = sub8::kernels::compared;
        sub8::kernels::check_set(isa);
        std::printf("%s: %d results\n", sub8::isa_name(isa), sub8::kernels::compared - before);
    }
    return sub8::kernels::failures == 0 && sub8::kernels::compared > 0 ? 0 : 1;
}
