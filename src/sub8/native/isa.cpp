#include "isa.h"

#include <cstdlib>
#include <stdexcept>

#include "if_built.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

// What the probes of isa.inc are written with. Linux tells of ARM's dot-product instructions in a
// bit of AT_HWCAP; Apple's 64-bit CPUs all have them.
#ifndef SUB8_CPU  // tests of emulated ones have their own
#define SUB8_CPU(feature) __builtin_cpu_supports(feature)
#endif
#ifdef __linux__
#define SUB8_ARM_HAS_DOT_PRODUCTS ((getauxval(AT_HWCAP) & (1UL << 20)) != 0)
#else
#define SUB8_ARM_HAS_DOT_PRODUCTS true
#endif

namespace sub8 {
namespace {

struct Entry {
    Isa isa;
    const char* name;
    bool (*supported)();
};

const Entry kEntries[] = {
#define SUB8_ISA(name, architecture, flags, probe) \
    SUB8_IF_BUILT(name, {Isa::name, #name, []() -> bool { return probe; }}, )
#include "isa.inc"
#undef SUB8_ISA
};

}  // namespace

const char* isa_name(Isa isa) {
    for (const Entry& entry : kEntries) {
        if (entry.isa == isa) return entry.name;
    }
    return "unknown";
}

std::vector<Isa> supported_isas() {
    std::vector<Isa> isas;
    for (const Entry& entry : kEntries) {
        if (entry.supported()) isas.push_back(entry.isa);
    }
    return isas;
}

Isa select_isa(const std::string& name) {
    std::string wanted = name;
    const char* from = "isa";
    if (wanted.empty()) {
        const char* environment = std::getenv("SUB8_ISA");
        if (environment != nullptr) wanted = environment;
        from = "SUB8_ISA";
    }
    const std::vector<Isa> isas = supported_isas();
    if (wanted.empty()) return isas.back();
    std::string names;
    for (Isa isa : isas) {
        if (wanted == isa_name(isa)) return isa;
        names += names.empty() ? "" : ", ";
        names += isa_name(isa);
    }
    throw std::invalid_argument(std::string(from) + "='" + wanted +
                                "' is unknown or not supported by this CPU; use one of: " + names);
}

}  // namespace sub8
