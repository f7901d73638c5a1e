// CRC-32 (IEEE 802.3), as zlib and Python's binascii compute it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sub8::runtime {

// before: that of the bytes that come before these.
std::uint32_t crc32(const std::uint8_t* data, std::size_t bytes, std::uint32_t before = 0);

}  // namespace sub8::runtime
