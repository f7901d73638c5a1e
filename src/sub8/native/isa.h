// Instruction sets that kernels exist for (isa.inc), and the choice among them at run time.
#pragma once

#include <string>
#include <vector>

namespace sub8 {

enum class Isa {
#define SUB8_ISA(name, ...) name,
#include "isa.inc"
#undef SUB8_ISA
};

const char* isa_name(Isa isa);

// Instruction sets that this build holds and this CPU runs, slowest first; scalar is always among
// them.
std::vector<Isa> supported_isas();

// The named instruction set; an empty name means the environment variable SUB8_ISA or, without it,
// the fastest supported one. Throws std::invalid_argument where it is unknown or not supported
// here.
Isa select_isa(const std::string& name);

}  // namespace sub8
