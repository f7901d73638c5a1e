"""The kernels of CPUs other than this one agree with the plain ones, under emulation."""

import shutil
import subprocess
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[2] / "src" / "sub8" / "native"
COMPILER = "aarch64-linux-gnu-g++"
EMULATOR = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")


@pytest.mark.skipif(
    not (shutil.which(COMPILER) and EMULATOR), reason=f"needs {COMPILER} and qemu-aarch64"
)
def test_neon_agrees_with_the_plain_kernels(tmp_path: Path) -> None:
    def compile_to_object(source: Path, *flags: str) -> Path:
        target = tmp_path / f"{source.parent.name}-{source.stem}.o"
        command = [COMPILER, "-std=c++17", "-O2", "-DSUB8_WITH_NEON=1", f"-I{NATIVE}", *flags]
        subprocess.run([*command, "-c", str(source), "-o", str(target)], check=True)
        return target

    plain = [
        Path(__file__).with_name("agreement.cpp"),
        NATIVE / "isa.cpp",
        NATIVE / "kernels" / "scalar" / "scalar_kernels.cpp",
        *sorted((NATIVE / "conv").glob("*.cpp")),
    ]
    objects = [compile_to_object(source) for source in plain]
    for source in sorted((NATIVE / "kernels" / "neon").glob("*.cpp")):
        objects.append(compile_to_object(source, "-march=armv8.2-a+dotprod"))
    program = tmp_path / "agreement"
    subprocess.run([COMPILER, "-static", *map(str, objects), "-o", str(program)], check=True)
    assert EMULATOR is not None
    run = subprocess.run([EMULATOR, "-cpu", "max", str(program)], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "neon" in run.stdout
