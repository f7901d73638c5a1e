"""The verb ``doctor``: what this installation runs on and what it lacks, for people and for bug
reports.
"""

import importlib.util
import platform
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from sub8.extras import EXTRAS, install_command
from sub8.machine import available_processors, cpu_features, processor_name
from sub8.version import __version__

PACKAGES = ("numpy", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "pillow", "pyarrow")


@dataclass(frozen=True)
class Extra:
    """An optional part. missing: packages that are not installed. install: the command that
    installs them, empty where nothing is missing.
    """

    name: str
    brings: str
    missing: tuple[str, ...]
    install: str


@dataclass(frozen=True)
class Diagnosis:
    """versions: of sub8, Python and the packages it runs on. cpu_features: of those that kernels
    use, which the processor has. instruction_sets: that this build holds and this processor runs,
    slowest first; chosen: the one that sessions take. problems: one line each.
    """

    versions: dict[str, str]
    platform: str
    processor: str
    processors: int
    cpu_features: tuple[str, ...]
    instruction_sets: tuple[str, ...]
    chosen: str
    package: str
    extras: tuple[Extra, ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def doctor() -> Diagnosis:
    """Look at the installation and the machine. Raises nothing: what is wrong is told."""
    problems: list[str] = []
    sets: tuple[str, ...] = ()
    chosen = "none"
    try:
        from sub8.native import _core

        sets = tuple(_core.supported_isas())
        chosen = _core.select_isa("")
    except ImportError as error:
        problems.append(f"the native core cannot be loaded: {error}")
    except ValueError as error:  # SUB8_ISA names none
        problems.append(str(error))
    if sets and chosen == "scalar":
        problems.append(
            "no fast kernels for this processor (AVX2, or NEON with dot products): it runs the "
            "scalar ones, exact and slow"
        )
    return Diagnosis(
        versions=_versions(),
        platform=platform.platform(),
        processor=processor_name(),
        processors=available_processors(),
        cpu_features=cpu_features(),
        instruction_sets=sets,
        chosen=chosen,
        package=str(Path(__file__).resolve().parents[1]),
        extras=tuple(_extra(name, *parts) for name, parts in EXTRAS.items()),
        problems=tuple(problems),
    )


def _versions() -> dict[str, str]:
    found = {"sub8": __version__, "python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def _extra(name: str, brings: str, modules: tuple[str, ...]) -> Extra:
    missing = tuple(module for module in modules if importlib.util.find_spec(module) is None)
    return Extra(name, brings, missing, install_command(name) if missing else "")
