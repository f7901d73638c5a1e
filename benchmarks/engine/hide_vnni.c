// Hides AVX-512, VNNI, AMX and every newer vector extension from the program it is preloaded into, so that
// runtimes choose the kernels they would use on a CPU that ends at AVX2. Linux on x86-64 with CPUID faulting:
//
//     cc -shared -fPIC -O2 hide_vnni.c -o hide_vnni.so && LD_PRELOAD=./hide_vnni.so program
//
// CPUID is made to fault (arch_prctl), the handler runs it for real and clears the feature bits. Threads
// inherit the setting. Exits with code 3 where the machine cannot do it: a silent fallback would falsify figures.
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { ARCH_SET_CPUID = 0x1012 };

static void mask(uint32_t leaf, uint32_t subleaf, uint32_t* b, uint32_t* c, uint32_t* d, uint32_t* a) {
  if (leaf == 7 && subleaf == 0) {
    // AVX512 F, DQ, IFMA, PF, ER, CD, BW, VL
    *b &= ~((1u << 16) | (1u << 17) | (1u << 21) | (1u << 26) | (1u << 27) | (1u << 28) | (1u << 30) | (1u << 31));
    // AVX512 VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ
    *c &= ~((1u << 1) | (1u << 6) | (1u << 11) | (1u << 12) | (1u << 14));
    // AVX512 4VNNIW, 4FMAPS, VP2INTERSECT, FP16; AMX BF16, TILE, INT8
    *d &= ~((1u << 2) | (1u << 3) | (1u << 8) | (1u << 22) | (1u << 23) | (1u << 24) | (1u << 25));
  } else if (leaf == 7 && subleaf == 1) {
    *a &= ~((1u << 4) | (1u << 5) | (1u << 21) | (1u << 23));   // AVX VNNI, AVX512 BF16, AMX FP16, AVX IFMA
    *d &= ~((1u << 4) | (1u << 5) | (1u << 10) | (1u << 19));   // AVX VNNI INT8, NE CONVERT, VNNI INT16, AVX10
  }
}

static void on_fault(int number, siginfo_t* info, void* context) {
  (void)info;
  greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
  const uint8_t* instruction = (const uint8_t*)registers[REG_RIP];
  if (instruction[0] != 0x0F || instruction[1] != 0xA2) {  // not CPUID: a real fault
    signal(number, SIG_DFL);
    return;
  }
  uint32_t leaf = (uint32_t)registers[REG_RAX], subleaf = (uint32_t)registers[REG_RCX], a, b, c, d;
  syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
  __cpuid_count(leaf, subleaf, a, b, c, d);
  syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
  mask(leaf, subleaf, &b, &c, &d, &a);
  registers[REG_RAX] = a;
  registers[REG_RBX] = b;
  registers[REG_RCX] = c;
  registers[REG_RDX] = d;
  registers[REG_RIP] += 2;
}

__attribute__((constructor(101))) static void hide(void) {
  struct sigaction action = {0};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  if (sigaction(SIGSEGV, &action, NULL) != 0 || syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0) != 0) {
    static const char message[] = "hide_vnni: this machine has no CPUID faulting\n";
    if (write(2, message, sizeof message - 1) < 0) { /* nothing else to tell it by */
    }
    _exit(3);
  }
}
