"""The list of instruction sets, native/isa.inc, as CMakeLists.txt reads it, and what was built."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).parents[2]
NATIVE = PROJECT / "src" / "sub8" / "native"


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


@cache
def _last_change() -> float:
    code = (path for path in NATIVE.rglob("*") if path.suffix in (".cpp", ".h", ".inl", ".inc"))
    return max(path.stat().st_mtime for path in code)


def built_object(source: Path, sanitizer: str | None = None) -> Path | None:
    """What an installation from this folder, a build in place or one of tools/sanitize.sh made of a
    native source; None where there is none, or a source has changed since.
    """
    for build in (PROJECT / "build").glob("*"):
        sanitized = build.name.removeprefix("sanitize-") if "sanitize-" in build.name else None
        made = build / "CMakeFiles/sub8_core.dir" / f"{source.relative_to(PROJECT)}.o"
        if sanitized == sanitizer and made.exists() and made.stat().st_mtime > _last_change():
            return made
    return None
