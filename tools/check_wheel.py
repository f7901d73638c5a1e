"""An installed wheel: its native core loads no library of the system's package manager but the
compiler's own, and a quantised network runs exactly. Prints what it saw; ends with 1 on a fault.

    fresh/bin/pip install sub8-*.whl && fresh/bin/python tools/check_wheel.py
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import sub8
from sub8 import zoo
from sub8.graph.write import write_model
from sub8.native import _core


def foreign_libraries() -> list[str]:
    """oneTBB from outside the wheel's own folders, on Linux."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return []
    loaded = {line.split()[-1] for line in maps.read_text().splitlines() if "libtbb" in line}
    folder = Path(_core.__file__).resolve().parents[2]
    return sorted(path for path in loaded if not Path(path).resolve().is_relative_to(folder))


def main() -> int:
    """Check, print, tell."""
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path, data = Path(folder) / "float.onnx", Path(folder) / "x.npy"
        write_model(zoo.build("mobilenet_v2", size=64), path)
        np.save(data, x)
        quantised = sub8.quantize(path, x, sub8.Recipe(weights=sub8.Ternary(4), method="optimal"))
        found = sub8.verify(quantised, data)
    outside = foreign_libraries()
    print(f"{_core.__file__}: {found.mismatches} of {found.elements} elements differ")
    for path_of in outside:
        print(f"loads {path_of}, which is not the wheel's")
    return int(bool(outside or found.mismatches))


if __name__ == "__main__":
    sys.exit(main())
