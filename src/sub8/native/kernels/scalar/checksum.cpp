// Checksums, in plain C++.
#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/declarations.h"

namespace sub8::kernels::scalar {
namespace {

constexpr int kSlices = 16;  // bytes at a time
using Tables = std::array<std::array<std::uint32_t, 256>, kSlices>;

// tables[k][b]: what byte b becomes once k more zero bytes have followed it.
Tables make_tables() {
    Tables tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t rest = byte;
        for (int bit = 0; bit < 8; ++bit) rest = (rest >> 1) ^ (rest & 1 ? 0xEDB88320U : 0U);
        tables[0][byte] = rest;
    }
    for (std::size_t slice = 1; slice < kSlices; ++slice) {
        for (std::size_t byte = 0; byte < 256; ++byte) {
            const std::uint32_t rest = tables[slice - 1][byte];
            tables[slice][byte] = (rest >> 8) ^ tables[0][rest & 0xFF];
        }
    }
    return tables;
}

std::uint64_t number_at(const std::uint8_t* data) {
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < sizeof number; ++i) number |= std::uint64_t{data[i]} << (8 * i);
    return number;
}

std::uint32_t advance(const std::uint8_t* data, std::size_t bytes, std::uint32_t rest) {
    static const Tables tables = make_tables();
    for (; bytes >= kSlices; bytes -= kSlices, data += kSlices) {
        const std::uint64_t words[2] = {number_at(data) ^ rest, number_at(data + 8)};
        rest = 0;
        for (std::size_t i = 0; i < kSlices; ++i) {
            rest ^= tables[kSlices - 1 - i][words[i / 8] >> (8 * (i % 8)) & 0xFF];
        }
    }
    for (; bytes > 0; --bytes, ++data) rest = (rest >> 8) ^ tables[0][(rest ^ *data) & 0xFF];
    return rest;
}

}  // namespace

const Checksum crc32 = advance;

}  // namespace sub8::kernels::scalar
