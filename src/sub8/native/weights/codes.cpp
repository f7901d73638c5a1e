#include "weights/codes.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "numeric.h"

namespace sub8::weights {
namespace {

// What the codes of a byte sum up to; their magnitudes, in the lower half, never reach the upper.
using ByteSums = std::array<int64_t, 256>;
constexpr int64_t kValue = int64_t{1} << 32;
constexpr int64_t kBytesAtOnce = int64_t{1} << 24;

int decoded(const Format& format, int byte, int place) {
    const int unused = 8 - format.bits;
    const auto top = uint8_t(byte >> (format.bits * place) << unused);
    return int8_t(top) / (1 << unused);
}

ByteSums byte_sums(const Format& format) {
    ByteSums sums{};
    for (int byte = 0; byte < 256; ++byte) {
        for (int place = 0; place < format.codes_per_byte(); ++place) {
            const int value = decoded(format, byte, place);
            sums[std::size_t(byte)] += value * kValue + std::abs(value);
        }
    }
    return sums;
}

const ByteSums& sums_by_byte(const Format& format) {
    static const std::array<ByteSums, kFormats> tables = [] {
        std::array<ByteSums, kFormats> made;
        for (std::size_t i = 0; i < kFormats; ++i) made[i] = byte_sums(kFormatTable[i]);
        return made;
    }();
    return tables[std::size_t(&format - kFormatTable)];
}

// Of codes of 8 bits; in 16 bits, which take vectors, as far as they hold them.
Sums sums_of_bytes(const uint8_t* bytes, int64_t count) {
    constexpr int64_t kPiece = INT16_MAX / 128;
    Sums sums;
    for (int64_t begin = 0; begin < count; begin += kPiece) {
        int16_t total = 0, magnitude = 0;
        for (int64_t i = begin; i < std::min(count, begin + kPiece); ++i) {
            const auto value = int16_t(int8_t(bytes[i]));
            total = int16_t(total + value);
            magnitude = int16_t(magnitude + std::abs(value));
        }
        sums.values += total;
        sums.magnitudes += magnitude;
    }
    return sums;
}

}  // namespace

int Codes::at(int64_t index) const {
    const int64_t within_byte = (int64_t{1} << each_log2_) - 1;
    return decoded(*format_, bytes_[index >> each_log2_], int(index & within_byte));
}

std::vector<int8_t> Codes::values(int64_t first, int64_t count) const {
    std::vector<int8_t> values;
    values.reserve(std::size_t(count));
    for (int64_t i = first; i < first + count; ++i) values.push_back(int8_t(at(i)));
    return values;
}

int64_t Codes::find_out_of_range() const {
    // The lowest number that its bits can hold, and nothing else: all but the highest bit are 0.
    const auto highest = uint8_t(0xFF / ((1 << format_->bits) - 1) << (format_->bits - 1));
    const auto others = uint8_t(~highest);
    const auto found_in = [=](uint8_t byte) {
        return uint8_t(byte & highest & ~(uint8_t(byte & others) + others));
    };
    const int each = format_->codes_per_byte();
    const int64_t whole = count_ / each;
    // All are looked at, which takes vectors, since almost never is there one to be found.
    uint8_t any = 0;
    for (int64_t i = 0; i < whole; ++i) any |= found_in(bytes_[i]);
    const auto outside = [this](int64_t i) { return at(i) < -format_->largest; };
    int64_t i = any != 0 ? 0 : whole * each;
    while (i < count_ && !outside(i)) ++i;
    return i;
}

Sums Codes::sums(int64_t first, int64_t count) const {
    if (format_->bits == 8) return sums_of_bytes(bytes_ + first, count);
    Sums sums;
    const auto add = [&](int value) {
        sums.values += value;
        sums.magnitudes += std::abs(value);
    };
    const int64_t end = first + count;
    const int64_t within_byte = (int64_t{1} << each_log2_) - 1;
    for (; first < end && (first & within_byte) != 0; ++first) add(at(first));
    const ByteSums& of_byte = sums_by_byte(*format_);
    while (end - first > within_byte) {
        const int64_t bytes = std::min((end - first) >> each_log2_, kBytesAtOnce);
        const uint8_t* from = bytes_ + (first >> each_log2_);
        int64_t total = 0;
        for (int64_t i = 0; i < bytes; ++i) total += of_byte[from[i]];
        const auto magnitudes = int64_t(uint32_t(total));
        sums.magnitudes += magnitudes;
        sums.values += (total - magnitudes) / kValue;
        first += bytes << each_log2_;
    }
    for (; first < end; ++first) add(at(first));
    return sums;
}

void Codes::copy(int64_t first, int64_t count, uint8_t* to) const {
    const int each = format_->codes_per_byte();
    const uint8_t* from = bytes_ + first / each;
    const int shift = int(first % each) * format_->bits;
    const int64_t bytes = pieces(count, each);
    if (shift == 0) {
        std::memcpy(to, from, std::size_t(bytes));
    } else {
        const int64_t there = pieces(first + count, each) - first / each;
        for (int64_t i = 0; i < bytes; ++i) {
            const int next = i + 1 < there ? from[i + 1] : 0;
            to[i] = uint8_t(from[i] >> shift | next << (8 - shift));
        }
    }
    const int last = int(count - (bytes - 1) * each) * format_->bits;
    if (bytes > 0) to[bytes - 1] &= uint8_t((1 << last) - 1);
}

}  // namespace sub8::weights
