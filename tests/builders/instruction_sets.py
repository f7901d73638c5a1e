"""The list of instruction sets, native/isa.inc, as CMakeLists.txt reads it."""

import re
from dataclasses import dataclass
from pathlib import Path

NATIVE = Path(__file__).parents[2] / "src" / "sub8" / "native"


@dataclass(frozen=True)
class InstructionSet:
    """architecture: of CPUs that have it, or "any". flags: that its kernels are compiled with."""

    name: str
    architecture: str
    flags: tuple[str, ...]


def _read() -> dict[str, InstructionSet]:
    entry = re.compile(r'\nSUB8_ISA\((\w+), (\w+),\s*"([^"]*)"')
    found = entry.findall((NATIVE / "isa.inc").read_text())
    return {name: InstructionSet(name, cpu, tuple(flags.split())) for name, cpu, flags in found}


ISAS = _read()
