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

// Of ternary codes, four a byte: those that are not 0 have the lower bit, negative ones the higher
// one as well. Bits are counted in fields that grow where they could overflow.
Sums sums_of_ternary(const uint8_t* bytes, int64_t count) {
    constexpr int64_t kWord = sizeof(uint64_t);
    constexpr uint64_t k2Bits = 0x5555555555555555, k4Bits = 0x3333333333333333;
    constexpr uint64_t k8Bits = 0x0F0F0F0F0F0F0F0F, k16Bits = 0x00FF00FF00FF00FF;
    constexpr int kWordsIn4Bits = 15 / 2, kWordsIn8Bits = 255 / 30 * kWordsIn4Bits;
    const auto in_8_bits = [](uint64_t fields) {
        return (fields & k8Bits) + (fields >> 4 & k8Bits);
    };
    const auto total = [](uint64_t fields) {
        const uint64_t wide = (fields & k16Bits) + (fields >> 8 & k16Bits);
        return int64_t(wide * 0x0001000100010001 >> 48);
    };
    int64_t magnitudes = 0, negative = 0;
    while (count > 0) {
        uint64_t all8 = 0, below8 = 0;
        for (int words = 0; words < kWordsIn8Bits && count > 0; words += kWordsIn4Bits) {
            uint64_t all4 = 0, below4 = 0;
            for (int i = 0; i < kWordsIn4Bits && count > 0; ++i, bytes += kWord, count -= kWord) {
                uint64_t word = 0;
                std::memcpy(&word, bytes, std::size_t(std::min(count, kWord)));
                const uint64_t all = word & k2Bits, below = word >> 1 & k2Bits;
                all4 += (all & k4Bits) + (all >> 2 & k4Bits);
                below4 += (below & k4Bits) + (below >> 2 & k4Bits);
            }
            all8 += in_8_bits(all4);
            below8 += in_8_bits(below4);
        }
        magnitudes += total(all8);
        negative += total(below8);
    }
    return {magnitudes - 2 * negative, magnitudes};
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
    const int64_t bytes = std::max<int64_t>(end - first, 0) >> each_log2_;
    const uint8_t* from = bytes_ + (first >> each_log2_);
    const Sums whole =
        format_->bits == 2 ? sums_of_ternary(from, bytes) : sums_of_int4(from, bytes);
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

}  // namespace sub8::weights
