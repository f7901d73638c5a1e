// The integers of weights as a file holds them: in two's complement of the format's bits, the first
// of a byte in its lowest bits.
#pragma once

#include <cstdint>
#include <vector>

#include "weights/format.h"

namespace sub8::weights {

struct Sums {
    int64_t values = 0;
    int64_t magnitudes = 0;
};

class Codes {
  public:
    Codes() = default;
    // count: integers at `bytes`, which must outlive it.
    Codes(const Format& format, const uint8_t* bytes, int64_t count)
        : format_(&format), bytes_(bytes), count_(count) {
        while (1 << each_log2_ < format.codes_per_byte()) ++each_log2_;
    }

    const Format& format() const { return *format_; }
    int64_t count() const { return count_; }

    int at(int64_t index) const;
    std::vector<int8_t> values() const { return values(0, count_); }
    std::vector<int8_t> values(int64_t first, int64_t count) const;
    // The first that is out of the format's range, or count().
    int64_t find_out_of_range() const;
    // All in the format's range.
    Sums sums(int64_t first, int64_t count, kernels::CountBits count_bits) const;
    // So many codes as they are, the first in the lowest bits of to[0], zeros behind the last.
    void copy(int64_t first, int64_t count, uint8_t* to) const;

  private:
    const Format* format_ = nullptr;
    const uint8_t* bytes_ = nullptr;
    int64_t count_ = 0;
    int each_log2_ = 0;  // of the codes of a byte, since dividing takes long
};

// Integers of the format's range as a file holds them.
std::vector<uint8_t> encoded(const Format& format, const std::vector<int8_t>& values);

}  // namespace sub8::weights
