// How weights are laid out for the micro-kernels, and how they are packed and unpacked.
//
// One term of a layer becomes one `Stream`: a sequence of K-steps, the same for all outputs of a
// group. A K-step multiplies one 4-byte slot of activations (4 channels; or 2 channels widened to
// 16 bits) with the weights of one panel of outputs (16, or 32 for AVX-512). K-steps are ordered
// cluster by cluster, and steps that share their scale form a run.
//
// Example: 1x1, 8 input channels, ternary N = 4 (clusters A = channels 0-3, B = 4-7), arithmetic
// runs16. vpmaddubsw sums neighbouring products, so an int16 lane holds one *half* (2 channels) of
// a step. Two clusters are interleaved, A in the lower halves and B in the upper ones, so that one
// vpmaddwd with (alpha_A, alpha_B) serves both:
//
//     step 0, slot (0, 1, 4, 5): output o: w[o,0] w[o,1] | w[o,4] w[o,5]
//     step 1, slot (2, 3, 6, 7): output o: w[o,2] w[o,3] | w[o,6] w[o,7]
//     run 0 = steps 0, 1; alpha[run 0][o] = (alpha[o,A], alpha[o,B])
//
// acc[o] = alpha_A * (x0 w0 + x1 w1 + x2 w2 + x3 w3) + alpha_B * (x4 w4 + ... + x7 w7). A single
// cluster is not interleaved: slot (0, 1, 2, 3), both alphas the same. For K x K kernels each slot
// is repeated for every tap (ky, kx) before the next slot. Clusters are padded with zero weights to
// whole halves (pairs) or slots.
//
// Bits. The codes of consecutive steps make a sequence of vectors of 2 * panel bytes (two vectors a
// step with 4 channels a step, one with 2). 8-bit codes are stored as they are. 4-bit: vectors 2u
// and 2u+1 share one stored vector u, byte = (code0 + 8) | (code1 + 8) << 4. 2-bit: vectors 4u ..
// 4u+3 share one stored vector u, byte = (code0 + 1) | (code1 + 1) << 2 | (code2 + 1) << 4 | (code3
// + 1) << 6. Example: the first bytes of four vectors hold codes 1, 0, -1, 1: stored 2 | 1 << 2 | 0
// << 4 | 2 << 6 = 0x86.
//
// Ternary codes with scales up to 127, whose products all fit int8, need no runs where a CPU has
// 8-bit dot products: a panel's codes are multiplied with their scales as they are expanded, and
// then are plain int8 weights. What is stored stays as above.
//
// Steps are cut into blocks (whole runs, padded to whole packing units), each small enough that its
// expanded weights stay in the first-level cache while it passes over all positions.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "conv/weights.h"
#include "kernels/kernels.h"
#include "memory.h"

namespace sub8::conv {

constexpr int kBlockSteps = 192;  // 64 bytes each with panels of 16: 12 KiB; 24 with 32

// Four channels (or two, the rest -1) of a group that one slot holds; -1: none (its weights are 0).
// Where the kernel's columns are folded into the channels, "channel" is kx * inputs + i.
using Slot = std::array<int32_t, 4>;

struct KStep {
    int slot;
    int ky;
    int kx;
};

struct Block {
    int first_run;
    int runs;
    int first_step;
    int steps;       // to execute
    int vectors;     // of codes, padded to whole packing units
    int64_t offset;  // of the packed bytes within a panel
};

// Kernel choice within runs16 and dotruns: `two` where every run has two steps.
enum class RunLength { any, few, two };

struct Stream {
    const weights::Format* format;
    kernels::Arithmetic arithmetic;
    RunLength run_length;
    bool scaled;       // arithmetic dot: the tile kernels' codes are those stored times alpha
    bool whole_slots;  // no slot spans two clusters
    int shift_after;   // the accumulators are shifted left by this once the stream is done
    kernels::SlotOrder slot_order;
    int cluster;  // of slot_order paired_long
    std::vector<Slot> slots;
    std::vector<KStep> steps;
    std::vector<uint16_t> run_steps;
    std::vector<Block> blocks;
    int64_t panel_bytes;                                    // packed codes per panel
    std::vector<uint8_t, AlignedAllocator<uint8_t>> codes;  // [groups][panels][panel_bytes]
    std::vector<uint8_t, AlignedAllocator<uint8_t>> alpha;  // [groups][panels][runs][panel][2]

    // A block's weights of a panel as they are stored.
    const uint8_t* packed(const Block& block, int64_t panel) const;
    // A block's weights of a panel as the tile kernels' int8 codes: expanded into `room`, or where
    // they are stored.
    const int8_t* expanded(const kernels::KernelSet& kernels, const Block& block, int64_t panel,
                           int8_t* room) const;
    int lanes() const { return arithmetic == kernels::Arithmetic::wide16 ? 2 : 4; }
};

// The order of K-steps of one term and its packed weights. `folded`: kernel columns are folded into
// channels.
Stream make_stream(const kernels::KernelSet& kernels, const WeightShape& shape,
                   const WeightTerm& term, bool folded, int panels_per_group);

// Inverse of make_stream: the integers [outputs, inputs, kernel_h, kernel_w] that it holds.
std::vector<int8_t> unpack_stream(const kernels::KernelSet& kernels, const WeightShape& shape,
                                  const Stream& stream, bool folded);

}  // namespace sub8::conv
