#include "isa.h"

#include <cstdlib>
#include <stdexcept>

#if defined(SUB8_WITH_NEON) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace sub8 {
namespace {

struct Entry {
    Isa isa;
    const char* name;
    bool (*supported)();
};

bool always() { return true; }

#if defined(SUB8_WITH_AVX2) || defined(SUB8_WITH_AVXVNNI) || defined(SUB8_WITH_AVX512VNNI)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif
#ifdef SUB8_WITH_AVXVNNI
bool has_avxvnni() { return has_avx2() && __builtin_cpu_supports("avxvnni"); }
#endif
#ifdef SUB8_WITH_AVX512VNNI
bool has_avx512vnni() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
}
#endif

#ifdef SUB8_WITH_NEON
// Linux tells of the dot-product instructions in a bit of AT_HWCAP; Apple's 64-bit CPUs all have
// them.
bool has_neon() {
#ifdef __linux__
    constexpr unsigned long kAsimdDp = 1UL << 20;
    return (getauxval(AT_HWCAP) & kAsimdDp) != 0;
#else
    return true;
#endif
}
#endif

const Entry kEntries[] = {
    {Isa::scalar, "scalar", always},
#ifdef SUB8_WITH_AVX2
    {Isa::avx2, "avx2", has_avx2},
#endif
#ifdef SUB8_WITH_AVXVNNI
    {Isa::avxvnni, "avxvnni", has_avxvnni},
#endif
#ifdef SUB8_WITH_AVX512VNNI
    {Isa::avx512vnni, "avx512vnni", has_avx512vnni},
#endif
#ifdef SUB8_WITH_NEON
    {Isa::neon, "neon", has_neon},
#endif
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
