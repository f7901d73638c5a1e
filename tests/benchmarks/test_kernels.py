"""The benchmark of the micro-kernels, which the package does not build, still compiles against
them.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_the_kernel_benchmark_compiles() -> None:
    source = ROOT / "benchmarks" / "kernels" / "bench.cpp"
    folders = (
        ROOT / "src" / "sub8" / "native",
        ROOT / "tests" / "native" / "kernels",
    )  # as its CMakeLists.txt
    options = ["-std=c++17", "-Wall", "-Wextra", "-Werror", *(f"-I{folder}" for folder in folders)]
    subprocess.run(["g++", *options, "-fsyntax-only", str(source)], check=True)
