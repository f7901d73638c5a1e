"""Every kernel of the catalogue makes what its operation says, on this CPU and, under emulation, on
another.
"""

import os
import platform
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from instruction_sets import ISAS, NATIVE, built_object

from sub8.native import _core

HERE = Path(__file__).parent
CROSS_COMPILER = "aarch64-linux-gnu-g++"
EMULATOR = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")


# Under tools/sanitize.sh: what everything is compiled with.
SANITIZE = os.environ.get("SUB8_SANITIZE")
SANITIZER = SANITIZE.split(",")[0] if SANITIZE else None


def built(compiler: str, architecture: str, program: str, folders: list[str], to: Path) -> Path:
    """The test program with the plain kernels, those of the architecture and the sources of other
    folders. to: where objects stay for the next program of this compiler.
    """
    isas = [isa for isa in ISAS.values() if isa.architecture in ("any", architecture)]
    defines = [f"-DSUB8_WITH_{isa.name}=1" for isa in isas if isa.architecture != "any"]
    options = ["-std=c++17", "-O1", "-ffp-contract=off", f"-I{NATIVE}", f"-I{HERE}", *defines]
    link = ["-static"]
    if SANITIZE and compiler == "g++":
        link = [f"-fsanitize={SANITIZE}"]
        options += [*link, "-g"]
    own = (path for path in NATIVE.glob("*.cpp") if path.name != "module.cpp")
    plain = [HERE / f"{program}.cpp", *sorted(own)]
    for folder in ("kernels", "weights", *folders):
        plain += sorted((NATIVE / folder).glob("*.cpp"))
    sources = [(source, ()) for source in plain] + [
        (source, isa.flags)
        for isa in isas
        for source in sorted((NATIVE / "kernels" / isa.name).glob("*.cpp"))
    ]

    def compile_to_object(source: Path, flags: tuple[str, ...]) -> Path:
        if compiler == "g++" and NATIVE in source.parents:
            made = built_object(source, SANITIZER)
            if made is not None:
                return made
        target = to / f"{source.parent.name}-{source.stem}.o"
        if target.exists():  # another program's too
            return target
        subprocess.run(
            [compiler, *options, *flags, "-c", str(source), "-o", str(target)], check=True
        )
        return target

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_to_object, *zip(*sources, strict=True)))
    binary = to / program
    subprocess.run([compiler, *link, *map(str, objects), "-o", str(binary)], check=True)
    return binary


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_the_list_of_instruction_sets_is_read_whole() -> None:
    text = (NATIVE / "isa.inc").read_text()
    assert len(ISAS) == sum(line.startswith("SUB8_ISA(") for line in text.splitlines())
    assert set(_core.supported_isas()) <= set(ISAS)
    assert all(list((NATIVE / "kernels" / name).glob("*.cpp")) for name in ISAS)


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not shutil.which("g++"), reason="needs g++ on x86-64"
)
def test_kernels_of_this_cpu(tmp_path: Path) -> None:
    text = run([str(built("g++", "x86_64", "agreement_of_kernels", [], tmp_path))])
    for isa in _core.supported_isas():
        assert f"{isa}: " in text


needs_emulation = pytest.mark.skipif(
    not (shutil.which(CROSS_COMPILER) and EMULATOR),
    reason=f"needs {CROSS_COMPILER} and qemu-aarch64",
)


@pytest.fixture(scope="module")
def objects_of_aarch64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("aarch64")


@needs_emulation
@pytest.mark.parametrize(
    ("program", "folders"),
    [("agreement_of_kernels", []), ("agreement_of_layers", ["conv", "requantize"])],
)
def test_neon_agrees_with_the_plain_kernels(
    program: str, folders: list[str], objects_of_aarch64: Path
) -> None:
    binary = built(CROSS_COMPILER, "aarch64", program, folders, objects_of_aarch64)
    assert EMULATOR is not None
    assert "neon" in run([EMULATOR, "-cpu", "max", str(binary)])
