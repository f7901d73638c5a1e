#include "limits.h"

// Assembly, so that the compiler can neither spill nor shorten the chains.
#define SUB8_STEP16(n)                         \
    "vpmaddubsw %%ymm15, %%ymm14, %%ymm12\n\t" \
    "vpaddw %%ymm12, %%ymm" #n ", %%ymm" #n "\n\t"
#define SUB8_STEP32(n)                         \
    "vpmaddubsw %%ymm15, %%ymm14, %%ymm12\n\t" \
    "vpmaddwd %%ymm13, %%ymm12, %%ymm12\n\t"   \
    "vpaddd %%ymm12, %%ymm" #n ", %%ymm" #n "\n\t"
#define SUB8_CHAINS(step)                                                                    \
    step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) \
        step(11)
#define SUB8_CLOBBERS                                                                              \
    "cc", "ymm0", "ymm1", "ymm2", "ymm3", "ymm4", "ymm5", "ymm6", "ymm7", "ymm8", "ymm9", "ymm10", \
        "ymm11", "ymm12", "ymm13", "ymm14", "ymm15"

namespace sub8::limits {

void pairs_into_int16() {
    long count = 4096;
    asm volatile("1:\n\t" SUB8_CHAINS(SUB8_STEP16) "dec %0\n\tjnz 1b\n\tvzeroupper"
                 : "+r"(count)
                 :
                 : SUB8_CLOBBERS);
}

void pairs_into_int32() {
    long count = 4096;
    asm volatile("1:\n\t" SUB8_CHAINS(SUB8_STEP32) "dec %0\n\tjnz 1b\n\tvzeroupper"
                 : "+r"(count)
                 :
                 : SUB8_CLOBBERS);
}

}  // namespace sub8::limits
