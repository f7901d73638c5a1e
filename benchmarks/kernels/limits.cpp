#include "limits.h"

#include <stdexcept>

// Assembly, so that the compiler can neither spill nor shorten the chains, nor need to know the
// instruction sets.
#define SUB8_STEP16(n)                         \
    "vpmaddubsw %%ymm15, %%ymm14, %%ymm12\n\t" \
    "vpaddw %%ymm12, %%ymm" #n ", %%ymm" #n "\n\t"
#define SUB8_STEP32(n)                         \
    "vpmaddubsw %%ymm15, %%ymm14, %%ymm12\n\t" \
    "vpmaddwd %%ymm13, %%ymm12, %%ymm12\n\t"   \
    "vpaddd %%ymm12, %%ymm" #n ", %%ymm" #n "\n\t"
#define SUB8_STEP_DOT(n) "%{vex%} vpdpbusd %%ymm15, %%ymm14, %%ymm" #n "\n\t"
#define SUB8_STEP_DOT512(n) "vpdpbusd %%zmm31, %%zmm30, %%zmm" #n "\n\t"
#define SUB8_CHAINS12(step)                                                                  \
    step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) \
        step(11)
#define SUB8_CHAINS24(step)                                                                   \
    SUB8_CHAINS12(step)                                                                       \
    step(12) step(13) step(14) step(15) step(16) step(17) step(18) step(19) step(20) step(21) \
        step(22) step(23)
// Where the compiler knows no more than SSE, these are the registers' names; clobbering all but
// those above 15, which nothing else uses.
#define SUB8_CLOBBERS                                                                              \
    "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define SUB8_LIMIT(name, chains)                                      \
    void name() {                                                     \
        long count = kSteps;                                          \
        asm volatile("1:\n\t" chains "dec %0\n\tjnz 1b\n\tvzeroupper" \
                     : "+r"(count)                                    \
                     :                                                \
                     : SUB8_CLOBBERS);                                \
    }

namespace sub8::limits {
namespace {

constexpr long kSteps = 4096;

SUB8_LIMIT(pairs_into_int16, SUB8_CHAINS12(SUB8_STEP16))
SUB8_LIMIT(pairs_into_int32, SUB8_CHAINS12(SUB8_STEP32))
SUB8_LIMIT(quads, SUB8_CHAINS12(SUB8_STEP_DOT))
SUB8_LIMIT(quads_of_512_bits, SUB8_CHAINS24(SUB8_STEP_DOT512))

constexpr double kMacs = 32.0 * kSteps;  // of a chain, with 256 bits

constexpr Limit kRuns = {"int16", "vpmaddubsw + vpaddw", 12 * kMacs, pairs_into_int16};
constexpr Limit kUsual = {"int32", "vpmaddubsw + vpmaddwd + vpaddd", 12 * kMacs, pairs_into_int32};
constexpr Limit kDot = {"vnni", "vpdpbusd, 256 bits", 12 * kMacs, quads};
constexpr Limit kDot512 = {"vnni", "vpdpbusd, 512 bits", 24 * 2 * kMacs, quads_of_512_bits};

}  // namespace

Limits limits_of(Isa isa) {
    switch (isa) {
        case Isa::avx512vnni:
            return {kDot512, kUsual};
        case Isa::avxvnni:
            return {kDot, kUsual};
        case Isa::avx2:
        case Isa::scalar:
            return {kRuns, kUsual};
        default:
            throw std::invalid_argument("limits: this instruction set is not of x86");
    }
}

}  // namespace sub8::limits
