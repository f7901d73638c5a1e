// Functions of bytes from their tables of 256 entries, in the forms that kernels take.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/elements.h"

namespace sub8::kernels {

constexpr int kEntries = 256;  // of a table, by the byte

ByteFunction byte_function(const std::uint8_t* entries);

// A function of every channel's own. As tables they are looked up one byte at a time; those of
// PRelu and of everything else that is straight below and above one place are computed, where a
// trial of all bytes gives their very entries.
class ChannelFunctions {
  public:
    // tables: [channels, 256].
    explicit ChannelFunctions(std::vector<std::uint8_t> tables);

    int channels() const { return static_cast<int>(tables_.size() / kEntries); }
    bool computed() const { return bend_.has_value(); }

    // x becomes its functions: [rows, columns] bytes, `pitch` from row to row, of the channels
    // first, first + 1, ...
    void apply(const ElementKernels& kernels, std::uint8_t* x, std::int64_t rows,
               std::int64_t columns, std::int64_t pitch, int first) const;

  private:
    std::vector<std::uint8_t> tables_;
    std::optional<Bend> bend_;
    std::vector<float> below_, above_;  // slopes, repeated
    std::int64_t together_ = 0;         // of them, whole vectors where that is not too many
};

}  // namespace sub8::kernels
