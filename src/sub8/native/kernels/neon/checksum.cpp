// Checksums by the instruction for them, which every CPU with dot products has.
#include <arm_acle.h>
#include <string.h>

#include "kernels/declarations.h"

namespace sub8::kernels::neon {
namespace {

uint32_t advance(const uint8_t* data, size_t bytes, uint32_t rest) {
    uint64_t word;
    for (; bytes >= sizeof word; data += sizeof word, bytes -= sizeof word) {
        memcpy(&word, data, sizeof word);
        rest = __crc32d(rest, word);
    }
    for (; bytes > 0; --bytes, ++data) rest = __crc32b(rest, *data);
    return rest;
}

}  // namespace

const Checksum crc32 = advance;

}  // namespace sub8::kernels::neon
