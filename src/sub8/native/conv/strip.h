// Strips: the part of an input that some output positions need, rearranged for the micro-kernels.
//
// A kernel wants, for each K-step, the 4-byte slots (four channels, or two widened ones) of
// neighbouring output positions side by side, and the next step's at an even distance. So the
// positions of a chunk are cut into lines of 12 or 24, strip[line][step][position]: a tile reads
// memory nearly in order, and tiles are full whatever the image's width.
//
// The steps of point-wise layers (1x1 without padding) are their slots, gathered from the input.
// Where a position's channels are slots as they lie (dot products of bytes) and the kernels take
// rows at any distance, there is no strip: 1x1 layers of stride 1 read the input in place, others
// its rows, copied with their padding. There lines end with their rows.
//
// Other layers' input rows are first arranged as rows[row][phase][slot][position], where a K-step
// (slot, ky, kx) of an output row lies at a fixed offset, whatever the stride or padding; from
// there lines are copied. Example: one input row a b c d e, kernel 1x3, stride 2, padding 1.
// Outputs 0 1 2 need columns -1..5, split by column modulo 2: phase 0 holds (pad b d pad), phase 1
// holds (a c e). Taps kx = 0, 1, 2 of outputs 0..2 are then phase 0 from 0, phase 1 from 0 and
// phase 0 from 1, each contiguous.
#pragma once

#include <cstdint>
#include <vector>

#include "conv/convolution.h"
#include "conv/packing.h"
#include "conv/tiling.h"

namespace sub8::conv {

class StripPlan {
  public:
    StripPlan(const kernels::KernelSet& kernels, const WeightShape& shape,
              const std::vector<Stream>& streams, bool folded, const ConvGeometry& geometry,
              const InputFormat& input, const StoredInput& stored);

    // Units are what a chunk is a range of: output positions of the batch where pointwise, else
    // output rows.
    int64_t units() const { return units_; }
    int positions_per_unit() const { return pointwise_ ? 1 : geometry_.out_w; }
    // Units that are worked on together.
    int units_per_chunk() const { return units_per_chunk_; }
    // Positions of a chunk of `units`, line by line: neighbours in the strip.
    Lines lines(int units) const {
        return Lines(units, positions_per_unit(), line_positions_, reading_ == Reading::rows);
    }
    // Where a chunk that begins at `unit` must end at the latest: no chunk spans two images, but
    // point-wise.
    int64_t chunk_limit(int64_t unit) const;

    std::size_t bytes() const { return strip_bytes_ + rows_bytes_ + padded_row_bytes_; }
    // Bytes from step to step, where they are the same, ...
    int64_t pitch() const { return reading_ == Reading::strip ? int64_t(line_positions_) * 4 : 4; }
    // ... otherwise of stream `index` from `step` on; else null.
    const int32_t* pitches(int index, int step) const {
        return reading_ == Reading::rows ? &pitches_[first_step_[index] + step] : nullptr;
    }
    // Bytes from position to position of a line.
    int64_t row_pitch() const;
    // The first step of a line of the chunk that begins at unit `first`; scratch: build's.
    const uint8_t* line_start(const uint8_t* input, const uint8_t* scratch, int group,
                              int64_t first, const Lines& lines, int line) const;
    // Bytes from there to a step of stream `index`.
    int64_t place(int index, int step) const;
    // Relative effort of building one unit, in 4-byte slots.
    int64_t slots_per_unit() const;

    // Builds the strip, or the padded rows, of units [first, first + count) for one group in
    // `scratch`.
    void build(const uint8_t* input, int group, int64_t first, int count, uint8_t* scratch) const;

  private:
    struct Section {
        kernels::SlotOrder order;
        bool widen;
        int cluster;
        int first_slot;
        int slots;
        std::vector<int32_t> table;
    };
    enum class Reading { strip, in_place, rows };

    Reading way_of_reading(const std::vector<Stream>& streams) const;
    void copy_rows(const uint8_t* input, int64_t first, int count, uint8_t* rows) const;
    void add_sections(const std::vector<Stream>& streams);
    void add_phases(int taps_w);
    void add_steps(const std::vector<Stream>& streams);
    void gather_lines(const uint8_t* input, int group, int64_t first, int count,
                      uint8_t* strip) const;
    void build_row(const uint8_t* input, int group, int image, int row, uint8_t* arranged,
                   uint8_t* padded_row) const;
    void copy_lines(const uint8_t* rows, int count, uint8_t* strip) const;
    void gather(const Section& section, const uint8_t* from, int64_t pitch, int64_t readable,
                int positions, uint32_t* out, int64_t out_pitch) const;
    uint32_t pad_word(const Section& section) const;

    const kernels::KernelSet& kernels_;
    WeightShape shape_;
    ConvGeometry geometry_;
    int zero_point_;
    bool folded_;
    bool pointwise_;
    Reading reading_;
    uint8_t flip_;
    int channels_;  // of the input, all groups
    int64_t input_bytes_;
    int64_t units_;
    int units_per_chunk_;
    int slots_;  // of all sections
    std::vector<int> phase_of_tap_;
    std::vector<int> shift_of_tap_;
    std::vector<int> phases_;  // residues of columns modulo the stride
    int row_positions_;        // per phase
    int64_t row_pitch_;        // words from arranged row to arranged row; bytes of padded ones
    int row_step_;             // arranged rows from output row to output row
    int rows_per_output_;
    int64_t columns_;     // of a padded row
    int line_positions_;  // of the longest line
    int steps_;           // of a line, all streams'
    std::size_t strip_bytes_;
    std::size_t rows_bytes_;
    std::size_t padded_row_bytes_;
    std::vector<Section> sections_;
    std::vector<int> section_of_stream_;
    std::vector<int> first_step_;  // of each stream
    // Of each step: words from the start of an output row's arranged rows, or bytes of padded ones;
    // and from there to the next.
    std::vector<int64_t> sources_;
    std::vector<int32_t> pitches_;
};

}  // namespace sub8::conv
