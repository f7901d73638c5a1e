// The integers of one panel's outputs, turned so that those of all outputs lie side by side, and
// from there stored as kernels read them.
//
// A session packs a whole network before its first image, so this counts: eight integers are moved
// at a time, in words that every instruction set has.
#pragma once

#include <cstdint>
#include <vector>

#include "weights/codes.h"

namespace sub8::conv {

class PanelCodes {
  public:
    // count: integers of one output.
    PanelCodes(const weights::Format& format, int panel, int64_t count);

    // Of so many outputs, the panel's others are 0. codes: [outputs, count].
    void turn(const weights::Codes& codes, int64_t first, int outputs);

    // Stores steps of `lanes` (2 or 4) integers: a block's, padded to whole packing units.
    // places: [steps, lanes] of an output's integers; `count`: none, a 0.
    void store(const int64_t* places, int steps, int lanes, int vectors, uint8_t* packed) const;

  private:
    template <int lanes, int unit>
    void store_as(const int64_t* places, int steps, int vectors, uint8_t* packed) const;

    const weights::Format& format_;
    const int panel_;
    const int64_t count_;
    const int64_t row_bytes_;    // of an output's codes, in whole words
    std::vector<uint8_t> rows_;  // of as many outputs as a word has bytes
    // [at least count + 1, panel]: integers plus the format's bias, 0 from the place `count` on.
    std::vector<uint8_t> turned_;
};

}  // namespace sub8::conv
