// What this core can do at most: the multiply-accumulate steps of the kernels on registers alone.
#pragma once

#include "isa.h"

namespace sub8::limits {

// A step of 12 or 24 independent chains, as many as cover its latency.
struct Limit {
    const char* name;
    const char* step;  // its instructions
    double macs;       // multiply-accumulates of a run
    void (*run)();
};

// A set's fastest step that is exact, and beside it that of most 8-bit runtimes.
struct Limits {
    Limit ours, usual;
};

// For the instruction sets of x86. Only what the processor has may be run.
Limits limits_of(Isa isa);

}  // namespace sub8::limits
