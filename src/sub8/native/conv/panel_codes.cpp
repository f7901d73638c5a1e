#include "conv/panel_codes.h"

#include <algorithm>
#include <cstring>

#include "numeric.h"

namespace sub8::conv {
namespace {

constexpr int kWord = 8;  // integers in one

uint64_t load(const void* from) {
    uint64_t word;
    std::memcpy(&word, from, sizeof word);
    return word;
}

void store(uint64_t word, void* to) { std::memcpy(to, &word, sizeof word); }

constexpr uint64_t repeated(uint64_t byte) { return byte * 0x0101010101010101; }

// Exchanges those bits of a, shifted left, with those of b that the mask names.
template <int shift>
void exchange(uint64_t mask, uint64_t* a, uint64_t* b) {
    const uint64_t differ = ((*a >> shift) ^ *b) & mask;
    *b ^= differ;
    *a ^= differ << shift;
}

// Bytes of eight words: byte j of word i becomes byte i of word j.
void transpose(uint64_t* words) {
    for (int i = 0; i < 4; ++i) exchange<32>(0x00000000FFFFFFFF, &words[i], &words[i + 4]);
    for (int i : {0, 1, 4, 5}) exchange<16>(0x0000FFFF0000FFFF, &words[i], &words[i + 2]);
    for (int i : {0, 2, 4, 6}) exchange<8>(0x00FF00FF00FF00FF, &words[i], &words[i + 1]);
}

// to[8, lanes] from words[lanes] of 8 bytes.
template <int lanes>
void side_by_side(uint64_t* words, uint8_t* to) {
    if (lanes == 4) {
        for (int i : {0, 1}) exchange<16>(0x0000FFFF0000FFFF, &words[i], &words[i + lanes / 2]);
    }
    for (int i = 0; i < lanes; i += 2) exchange<8>(0x00FF00FF00FF00FF, &words[i], &words[i + 1]);
    for (int i = 0; i < kWord; ++i, to += lanes) {
        const uint64_t bytes = words[i % lanes] >> (8 * lanes * (i / lanes));
        std::memcpy(to, &bytes, lanes);
    }
}

}  // namespace

PanelCodes::PanelCodes(const weights::Format& format, int panel, int64_t count)
    : format_(format),
      panel_(panel),
      count_(count),
      row_bytes_(round_up(pieces(count, format.codes_per_byte()), kWord)),
      rows_(std::size_t(row_bytes_ * kWord)),
      turned_(std::size_t((row_bytes_ * format.codes_per_byte() + 1) * panel),
              uint8_t(format.bias)) {}

void PanelCodes::turn(const weights::Codes& codes, int64_t first, int outputs) {
    const int bits = format_.bits, each = format_.codes_per_byte();
    const uint64_t mask = repeated((uint64_t{1} << bits) - 1);
    const uint64_t bias = repeated(uint64_t(format_.bias));
    for (int begin = 0; begin < panel_; begin += kWord) {
        std::fill(rows_.begin(), rows_.end(), uint8_t(0));
        for (int o = begin; o < std::min(begin + kWord, outputs); ++o)
            codes.copy((first + o) * count_, count_, rows_.data() + (o - begin) * row_bytes_);
        uint8_t* to = turned_.data() + begin;
        for (int64_t i = 0; i < row_bytes_; i += kWord) {
            uint64_t words[kWord];
            for (int o = 0; o < kWord; ++o) words[o] = load(rows_.data() + o * row_bytes_ + i);
            transpose(words);
            for (const uint64_t word : words) {
                for (int k = 0; k < each; ++k, to += panel_)
                    conv::store((((word >> (bits * k)) & mask) + bias) & mask, to);
            }
        }
    }
}

template <int lanes, int unit>
void PanelCodes::store_as(const int64_t* places, int steps, int vectors, uint8_t* packed) const {
    constexpr int kHalves = lanes / 2;  // vectors of a step
    constexpr int kBits = 8 / unit;
    const int outputs = panel_ / kHalves;  // of a vector
    const int64_t padding[] = {count_, count_, count_, count_};
    for (int vector = 0; vector < vectors; vector += unit) {
        for (int first = 0; first < outputs; first += kWord, packed += kWord * lanes) {
            uint64_t words[lanes] = {};
            for (int j = 0; j < unit; ++j) {
                const int step = (vector + j) / kHalves;
                const int64_t* of_step = step < steps ? places + step * lanes : padding;
                const uint8_t* from = turned_.data() + (vector + j) % kHalves * outputs + first;
                for (int lane = 0; lane < lanes; ++lane) {
                    const uint64_t word = load(from + of_step[lane] * panel_);
                    words[lane] |= word << (kBits * j);
                }
            }
            side_by_side<lanes>(words, packed);
        }
    }
}

void PanelCodes::store(const int64_t* places, int steps, int lanes, int vectors,
                       uint8_t* packed) const {
    const auto with_unit = [&](auto store2, auto store4) {
        (this->*(lanes == 2 ? store2 : store4))(places, steps, vectors, packed);
    };
    switch (format_.codes_per_byte()) {
        case 4:
            return with_unit(&PanelCodes::store_as<2, 4>, &PanelCodes::store_as<4, 4>);
        case 2:
            return with_unit(&PanelCodes::store_as<2, 2>, &PanelCodes::store_as<4, 2>);
        default:
            return with_unit(&PanelCodes::store_as<2, 1>, &PanelCodes::store_as<4, 1>);
    }
}

}  // namespace sub8::conv
