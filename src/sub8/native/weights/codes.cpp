#include "weights/codes.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "numeric.h"

namespace sub8::weights {
namespace {

int signed_code(int byte, int bits, int place) {
    const int unused = 8 - bits;
    const auto top = uint8_t(byte >> (bits * place) << unused);
    return int8_t(top) / (1 << unused);
}

// Of 4-bit codes, two a byte.
Sums sums_of_int4(const uint8_t* bytes, int64_t count) {
    // What the codes of a byte sum up to; their magnitudes, in the lower half, never reach the
    // upper.
    constexpr int64_t kValue = int64_t{1} << 32;
    static const auto of_byte = [] {
        std::array<int64_t, 256> sums{};
        for (int byte = 0; byte < 256; ++byte) {
            for (int place = 0; place < 2; ++place) {
                const int value = signed_code(byte, 4, place);
                sums[std::size_t(byte)] += value * kValue + std::abs(value);
            }
        }
        return sums;
    }();
    constexpr int64_t kAtOnce = int64_t{1} << 24;
    Sums sums;
    while (count > 0) {
        const int64_t bytes_now = std::min(count, kAtOnce);
        int64_t total = 0;
        for (int64_t i = 0; i < bytes_now; ++i) total += of_byte[bytes[i]];
        const auto magnitudes = int64_t(uint32_t(total));
        sums.magnitudes += magnitudes;
        sums.values += (total - magnitudes) / kValue;
        bytes += bytes_now;
        count -= bytes_now;
    }
    return sums;
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
    return signed_code(bytes_[index >> each_log2_], format_->bits, int(index & within_byte));
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

Sums Codes::sums(int64_t first, int64_t count, kernels::CountBits count_bits) const {
    if (format_->bits == 8) return sums_of_bytes(bytes_ + first, count);
    Sums sums;
    const auto add = [&](int value) {
        sums.values += value;
        sums.magnitudes += std::abs(value);
    };
    const int64_t end = first + count;
    const int64_t within_byte = (int64_t{1} << each_log2_) - 1;
    for (; first < end && (first & within_byte) != 0; ++first) add(at(first));
    const int64_t bytes = std::max<int64_t>(end - first, 0) >> each_log2_;
    const uint8_t* from = bytes_ + (first >> each_log2_);
    Sums whole;
    if (format_->bits == 2) {
        // Those that are not 0 have the lower bit, negative ones the higher one as well.
        int64_t negative = 0;
        count_bits(from, bytes, &whole.magnitudes, &negative);
        whole.values = whole.magnitudes - 2 * negative;
    } else {
        whole = sums_of_int4(from, bytes);
    }
    sums.values += whole.values;
    sums.magnitudes += whole.magnitudes;
    for (first += bytes << each_log2_; first < end; ++first) add(at(first));
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

std::vector<uint8_t> encoded(const Format& format, const std::vector<int8_t>& values) {
    const auto each = std::size_t(format.codes_per_byte());
    const int mask = (1 << format.bits) - 1;
    std::vector<uint8_t> bytes((values.size() + each - 1) / each, 0);
    for (std::size_t i = 0; i < values.size(); ++i)
        bytes[i / each] |= uint8_t((values[i] & mask) << (format.bits * int(i % each)));
    return bytes;
}

}  // namespace sub8::weights
