#include "runtime/checksum.h"

#include "isa.h"
#include "kernels/catalogue.h"

namespace sub8::runtime {

std::uint32_t crc32(const std::uint8_t* data, std::size_t bytes) {
    const kernels::KernelSet& kernels = kernels::kernels_for(supported_isas().back());
    return ~kernels.crc32(data, bytes, ~std::uint32_t{0});
}

}  // namespace sub8::runtime
