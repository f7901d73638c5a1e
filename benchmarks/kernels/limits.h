// What this core can do at most: the multiply-accumulate steps of the kernels on registers alone.
#pragma once

namespace sub8::limits {

// Multiply-accumulates per call of the functions below.
constexpr double kMacsPerCall = 12.0 * 32 * 4096;

// 12 independent chains of vpmaddubsw + vpaddw (ternary and int4 runs).
void pairs_into_int16();
// 12 independent chains of vpmaddubsw + vpmaddwd + vpaddd (the usual, saturating 8-bit step).
void pairs_into_int32();

}  // namespace sub8::limits
