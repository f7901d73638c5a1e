// The micro-kernels that every instruction set provides, as a table of functions. Which function is
// in which place: kernels.inc.
//
// Files in kernels/<isa>/ are compiled with that instruction set's flags, so they include nothing
// that holds inline functions of the standard library: the linker could keep their copy for every
// caller.
//
// Layout of operands (K-steps, panels, runs) and of packed weights: conv/packing.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/elements.h"

namespace sub8::kernels {

// How a stream of K-steps is accumulated; see conv/packing.h.
enum class Arithmetic {
    runs16,   // 4 channels a step, u8 * s8 pairs summed in int16 over a run, then times alpha into
              // int32
    wide16,   // 2 channels a step, int16 * int16 (alpha already in the weight), int32
    dot,      // 4 channels a step, 8-bit dot products in int32 (alpha is 1, or in the weight)
    dotruns,  // 4 channels a step, 8-bit dot products in int32 over a run, then times alpha
};

constexpr int kLargestTile = 12;  // positions; TileKernels::rows says how many there really are

// Tiles side by side; a tile is `rows` neighbouring positions times one panel of outputs.
struct TileArguments {
    const uint8_t* activations;  // 4 bytes a position: step k, row r at activations + k * pitch + r
                                 // * row_pitch
    ptrdiff_t pitch;             // bytes from step to step
    ptrdiff_t row_pitch;         // bytes from row to row; 4 but for TileKernels::rows_apart
    // In the place of pitch: bytes from each step to the next, for dot products whose
    // TileKernels::rows_apart. Null: pitch.
    const int32_t* pitches;
    int tiles;
    const void*
        weights;  // expanded: int8 [steps][panel][4] or int16 [steps][panel][2]; 64-byte aligned
    const uint8_t* alpha;       // [runs][panel][2]
    const int16_t* wide_alpha;  // the same, for `runs16_two` alone; 64-byte aligned
    const uint16_t* run_steps;  // [runs], each at least 1
    int runs;
    int steps;     // the sum of run_steps
    int32_t* acc;  // [tiles][rows][panel], 64-byte aligned
    bool first;    // acc is overwritten, not added to
};

using TileKernel = void (*)(const TileArguments&);

// Kernels of tiles of 1, 2, .. rows.
struct TileKernels {
    int rows;                         // of the largest; 0: there are none
    bool rows_apart;                  // rows may be any distance apart
    TileKernel of[kLargestTile + 1];  // index: rows
};

// One row times one panel with weights straight from their packed form.
struct RowArguments {
    const uint8_t* activations;  // 4 bytes per step, in the steps' order
    const uint8_t* packed;
    const uint8_t* alpha;
    const uint16_t* run_steps;
    int runs;
    // Minus the sum of each run's activations, to take off what storing codes as unsigned adds:
    // runs16 of the lower and the upper halves, as an int16 pair; dotruns of all, as int32. [runs]
    const int32_t* corrections;
    int32_t* acc;  // [panel]
    bool first;
};

struct RowKernel {
    void (*run)(const RowArguments&);  // null where there is none
    Arithmetic arithmetic;             // of the streams that it takes
};

// Packed codes to int8; `rows` of 2 * panel bytes, a whole number of packing units.
using Expand = void (*)(const uint8_t* packed, int rows, int8_t* out);

// Packed ternary codes [steps][panel][4] times alpha, up to 127, to int8, run by run.
using ExpandScaled = void (*)(const uint8_t* packed, const uint8_t* alpha,
                              const uint16_t* run_steps, int runs, int8_t* out);

// Integers of an 8-bit result, prepared by requantize/prepare.cpp for `panel`-aligned access.
struct RequantizeConstants {
    const int64_t* multiplier;  // [outputs padded to a panel]
    const int64_t* offset;      // the same; holds bias and zero points
    int64_t residual_multiplier;
    const int32_t* offset32;  // narrow form, below
    int acc_shift;            // narrow: multiplier == 1 << acc_shift for all outputs
    int residual_shift;       // narrow: residual_multiplier == 1 << residual_shift
    int shift;
    int zero_point;
    int low;
    int high;
    bool narrow;  // every intermediate fits int32 and both multipliers are powers of two
    // narrow: the result, before it is clamped, is rint(v * scale + float_offset[o]) in float32,
    // rounded once before rint, wherever it does not saturate. v: the accumulator; where there is a
    // residual the sum of both, shifted. Holds the zero point.
    bool in_float;
    float scale;
    const float* float_offset;
    // Otherwise: sums in int64 of 32-bit products, below 2**62; shift in 32..61.
    bool wide;
    bool ties;  // wide: whether any accumulator may lie halfway between two results
    bool has_residual;
    bool residual_signed;
    bool out_signed;
};

struct RequantizeArguments {
    const int32_t* acc;   // [rows][acc_pitch], whole panels readable
    ptrdiff_t acc_pitch;  // accumulators from row to row
    int rows;
    int columns;  // 1..panel, valid outputs of the panel
    int output;   // first output, for the constants
    const RequantizeConstants* constants;
    const uint8_t* residual;  // first row, first column; null where there is none
    uint8_t* out;             // the same
    ptrdiff_t pitch;          // bytes from row to row of out and residual
};

using RequantizeKernel = void (*)(const RequantizeArguments&);

// How the channels of a position become 4-byte slots (conv/strip.h).
enum class SlotOrder {
    contiguous,   // slot q: channels 4q .. 4q+3
    paired4,      // slots 2p, 2p+1: channels 8p + {0,1,4,5}, 8p + {2,3,6,7}
    paired_long,  // within each pair of clusters of N = 16n channels: {A2i, A2i+1, B2i, B2i+1}
    wide,         // slot q: channels 2q, 2q+1, each widened to 16 bits (SlotArguments::widen)
    table,        // channels as listed, -1: none
};

struct SlotArguments {
    const uint8_t* input;  // first position, first channel of the group
    ptrdiff_t pitch;       // bytes from position to position
    int positions;
    ptrdiff_t readable;  // bytes from input that may be read
    SlotOrder order;
    int cluster;           // paired_long
    const int32_t* table;  // [slots][4], the lanes that are used first
    int slots;
    uint8_t flip;   // XORed into every byte (0 or 0x80)
    bool widen;     // then zero-extended to int16 lanes
    uint32_t* out;  // slot q, position p at out[q * out_pitch + p]
    ptrdiff_t out_pitch;
};

constexpr int kDepthwiseBlock = 32;                  // channels
constexpr int kDepthwisePairs = 8;                   // pairs of taps whose partial sums fit int16
constexpr int kDepthwiseStep = 4 * kDepthwiseBlock;  // bytes of weights per pair of taps and block

// One block of channels of a depthwise convolution, at neighbouring positions.
// A weight v, an int8, is stored as v = 16 * high + low, low in [-8, 7], high in [-8, 8]: sums of
// u8 * part over 8 pairs of taps stay within 8 * 2 * 255 * 8 = 32640, so int16 holds them for every
// input.
struct DepthwiseArguments {
    const uint8_t* const*
        rows;  // [taps rounded up to even] each tap's input of the first position, first channel
    ptrdiff_t step;          // bytes from position to position, of every tap
    int pairs;               // of taps
    const int8_t* weights;   // [pairs][low, high][kDepthwiseBlock, in depthwise_order][2 taps]
    const int16_t* factors;  // [kDepthwiseBlock][2] = (alpha, 16 * alpha)
    int positions;
    uint8_t flip;  // XORed into every input byte, so that it is unsigned
    int left_shift;
    bool first;    // acc = sum << left_shift; otherwise acc += sum << left_shift
    int32_t* acc;  // [positions][acc_pitch]
    ptrdiff_t acc_pitch;
};

struct DepthwiseKernel {
    void (*run)(const DepthwiseArguments&);
    uint8_t order[kDepthwiseBlock];  // channel of the block at each place of a weight vector
};

// Neighbouring positions of a block of channels of a depthwise convolution, of one term and without
// dilation, column by column of the kernel. As many lines at once as their blocks fill a vector:
// one, two or four, each of which has rows and a place for its results of its own.
struct DepthwiseLineArguments {
    const uint8_t* const* rows;  // [lines][kernel_h]: column 0 of the image, first channel
    const uint8_t* padding;      // what columns outside of the image hold, [block]; null: nothing
    ptrdiff_t step;              // bytes from column to column
    int columns;                 // of the image
    int first;                   // column of the first position's first tap, perhaps outside
    int positions;
    uint8_t flip;  // XORed into every input byte, so that it is unsigned
    // [columns of the kernel][fours of its rows][vector, in places][4]: the taps of four rows, 0
    // where there is none; the one of a fifth row alone as byte place / (vector / 4).
    const int8_t* weights;
    // uint8(rint(sum * scale + offset)), at least low and at most high, XORed with out_flip; exact
    // with float32 and one rounding before rint. [vector, in places]
    const float *scale, *offset;
    uint8_t low, high, out_flip;
    uint8_t* const* out;  // [lines] [positions][pitch], as channels lie; null: sums are asked for
    ptrdiff_t pitch;
    const int32_t* factors;  // of the sums: [vector], of every line, as channels lie; null: 1
    int32_t* acc;            // [lines][positions][block], as channels lie
};

// The byte of a vector in a place of the sums: what unpacking bytes and then words leaves. Bytes
// are the channels of the first line, then those of the next one.
constexpr int depthwise_line_byte(int vector, int place) {
    const int quarter = place / (vector / 4), within = place % (vector / 4);
    return within / 4 * 16 + 4 * quarter + within % 4;
}

using DepthwiseLine = void (*)(const DepthwiseLineArguments&);

struct DepthwiseLines {
    // For kernels of so many rows and columns, positions `stride` columns apart; null where there
    // is none. lines: a power of two.
    DepthwiseLine (*choose)(int lines, int rows, int columns, int stride);
    int vector;      // channels of one line
    int most_lines;  // of vector / lines channels
};

// How many bits are set in the even places of some bytes, and how many in the odd ones.
using CountBits = void (*)(const uint8_t* data, int64_t bytes, int64_t* even, int64_t* odd);

// CRC-32 (IEEE 802.3): what `rest`, the inverted checksum of all that came before, becomes.
using Checksum = uint32_t (*)(const uint8_t* data, size_t bytes, uint32_t rest);

struct WinogradForms;  // kernels/winograd.h

struct KernelSet {
    int panel;                // outputs
    bool signed_activations;  // dense layers' are taken as int8, not uint8
    // Arithmetic::runs16; the second where runs are short, the third where every run has two steps.
    TileKernels runs16, runs16_short, runs16_two;
    TileKernels wide16;
    TileKernels dot;
    TileKernels dotruns, dotruns_short;  // the second where the sums of each run fit int16
    RowKernel row_w2, row_w4;
    RowKernel row_w8;  // both halves of a slot in one cluster
    Expand expand_w2, expand_w4;
    ExpandScaled expand_scaled_w2;
    // int8 codes [steps][panel][2] times alpha to int16, run by run.
    void (*widen)(const int8_t* codes, const uint8_t* alpha, const uint16_t* run_steps, int runs,
                  int16_t* out);
    // The requantisation with these constants: chosen once a layer.
    RequantizeKernel (*requantize)(const RequantizeConstants&);
    void (*gather_slots)(const SlotArguments&);
    DepthwiseKernel depthwise;
    DepthwiseLines depthwise_lines;  // choose: null where there are none
    const WinogradForms* winograd;   // null where there are none
    ElementKernels elements;
    CountBits count_bits;
    Checksum crc32;

    // dot and dotruns; otherwise wide16, and runs16 where there is one.
    bool has_dot() const { return dot.rows > 0; }
};

}  // namespace sub8::kernels
