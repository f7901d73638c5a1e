// The handler of hide_vnni.py: preloaded into a runtime whose CPUID instructions were replaced by
// UD2, it executes the real CPUID at each and clears the bits of AVX-512, VNNI, AMX and newer
// vector extensions from the answer.
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <ucontext.h>
#include <unistd.h>

static void mask(uint32_t leaf, uint32_t subleaf, uint32_t* b, uint32_t* c, uint32_t* d,
                 uint32_t* a) {
    if (leaf == 7 && subleaf == 0) {
        // AVX512 F, DQ, IFMA, PF, ER, CD, BW, VL
        *b &= ~((1u << 16) | (1u << 17) | (1u << 21) | (1u << 26) | (1u << 27) | (1u << 28) |
                (1u << 30) | (1u << 31));
        // AVX512 VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ
        *c &= ~((1u << 1) | (1u << 6) | (1u << 11) | (1u << 12) | (1u << 14));
        // AVX512 4VNNIW, 4FMAPS, VP2INTERSECT, FP16; AMX BF16, TILE, INT8
        *d &= ~((1u << 2) | (1u << 3) | (1u << 8) | (1u << 22) | (1u << 23) | (1u << 24) |
                (1u << 25));
    } else if (leaf == 7 && subleaf == 1) {
        *a &= ~((1u << 4) | (1u << 5) | (1u << 21) |
                (1u << 23));  // AVX VNNI, AVX512 BF16, AMX FP16, AVX IFMA
        *d &= ~((1u << 4) | (1u << 5) | (1u << 10) |
                (1u << 19));  // AVX VNNI INT8, NE CONVERT, VNNI INT16, AVX10
    }
}

static void on_trap(int number, siginfo_t* info, void* context) {
    (void)info;
    greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
    const uint8_t* instruction = (const uint8_t*)registers[REG_RIP];
    if (instruction[0] != 0x0F ||
        instruction[1] != 0x0B) {  // another invalid instruction: a real fault
        signal(number, SIG_DFL);
        return;
    }
    uint32_t leaf = (uint32_t)registers[REG_RAX], subleaf = (uint32_t)registers[REG_RCX], a, b, c,
             d;
    __cpuid_count(leaf, subleaf, a, b, c, d);
    mask(leaf, subleaf, &b, &c, &d, &a);
    registers[REG_RAX] = a;
    registers[REG_RBX] = b;
    registers[REG_RCX] = c;
    registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

__attribute__((constructor(101))) static void hide(void) {
    struct sigaction action = {0};
    action.sa_sigaction = on_trap;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    if (sigaction(SIGILL, &action, NULL) != 0) _exit(3);
}
