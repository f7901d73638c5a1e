// CRC-32 (IEEE 802.3), as zlib and Python's binascii compute it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sub8::runtime {

std::uint32_t crc32(const std::uint8_t* data, std::size_t bytes);

}  // namespace sub8::runtime
