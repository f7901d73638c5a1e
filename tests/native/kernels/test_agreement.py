"""Every kernel of the catalogue makes what its operation says, on this CPU and, under emulation, on
another.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from instruction_sets import ISAS, NATIVE, PROJECT, built_object
from notebooks import run_notebook

from sub8.native import _core

HERE = Path(__file__).parent
CROSS_COMPILER = "aarch64-linux-gnu-g++"
EMULATOR = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")


# Under tools/sanitize.sh: what everything is compiled with.
SANITIZE = os.environ.get("SUB8_SANITIZE")
SANITIZER = SANITIZE.split(",")[0] if SANITIZE else None
OPTIONS = ["-std=c++17", "-O1", "-ffp-contract=off", f"-I{NATIVE}", f"-I{HERE}"]
# What lies beyond AVX2 in plain C++. Passing vectors of 512 bits is not the same with and without.
EMULATED = (f"-I{HERE / 'emulated'}", *ISAS["avx2"].flags, "-Og", "-Wno-psabi")
EVERY_CPU = ("-DSUB8_CPU(feature)=true",)


def built(programs: Sequence[str], to: Path, emulated: tuple[str, ...] = ()) -> list[Path]:
    """Test programs with the kernels of x86-64, those of some sets under emulation."""
    isas = [isa for isa in ISAS.values() if isa.architecture in ("any", "x86_64")]
    options, link = [*OPTIONS, *defines("x86_64")], ["-static"]
    if SANITIZE:
        link = [f"-fsanitize={SANITIZE}"]
        options += [*link, "-g"]
    own = (path for path in NATIVE.glob("*.cpp") if path.name != "module.cpp")
    plain = [*(HERE / f"{program}.cpp" for program in programs), *sorted(own)]
    for folder in ("conv", "kernels", "requantize", "weights"):
        plain += sorted((NATIVE / folder).glob("*.cpp"))
    probes = EVERY_CPU if emulated else ()
    sources = [(source, probes if source.name == "isa.cpp" else ()) for source in plain] + [
        (source, EMULATED if isa.name in emulated else isa.flags)
        for isa in isas
        for source in sorted((NATIVE / "kernels" / isa.name).glob("*.cpp"))
    ]

    def compile_to_object(source: Path, flags: tuple[str, ...]) -> Path:
        as_built = NATIVE in source.parents and flags not in (EMULATED, EVERY_CPU)
        made = built_object(source, SANITIZER) if as_built else None
        if made is not None:
            return made
        target = to / f"{source.parent.name}-{source.stem}.o"
        subprocess.run(["g++", *options, *flags, "-c", str(source), "-o", str(target)], check=True)
        return target

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_to_object, *zip(*sources, strict=True)))
    shared = objects[len(programs) :]
    for program, main in zip(programs, objects, strict=False):
        command = ["g++", *link, str(main), *map(str, shared), "-o", str(to / program)]
        subprocess.run(command, check=True)
    return [to / program for program in programs]


def defines(architecture: str) -> list[str]:
    return [f"-DSUB8_WITH_{i.name}=1" for i in ISAS.values() if i.architecture == architecture]


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
def test_kernels_of_x86(tmp_path: Path) -> None:
    """Those sets that this CPU lacks under emulation, where it has AVX2."""
    own = set(_core.supported_isas())
    lacking = tuple(n for n, isa in ISAS.items() if isa.architecture == "x86_64" and n not in own)
    emulated = lacking if "avx2" in own else ()
    kernels, layers = built(["agreement_of_kernels", "agreement_of_layers"], tmp_path, emulated)
    text = run([str(kernels)])
    assert all(f"{name}: " in text for name in (*own, *emulated))
    if emulated:  # layers of this CPU's own sets: tests/native/conv
        text = run([str(layers), *emulated])
        assert all(name in text for name in emulated)


needs_emulation = pytest.mark.skipif(
    not (shutil.which(CROSS_COMPILER) and shutil.which("cmake") and EMULATOR),
    reason=f"needs {CROSS_COMPILER}, cmake and qemu-aarch64",
)


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which the tutorial ran, with its build of the runtime for this processor."""
    for module in ("nbformat", "torch", "sklearn"):
        pytest.importorskip(module, reason="needs the extra dev")
    folder = tmp_path_factory.mktemp("aarch64")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUB8_CLONE", str(PROJECT))
        # As the tutorial builds it, but for the optimisation: less of it compiles sooner.
        patch.setenv("CMAKE_BUILD_TYPE", "None")
        patch.setenv("CXXFLAGS", "-O1")
        run_notebook(PROJECT / "docs/tutorials/raspberry-pi.ipynb", folder)
        yield folder


@needs_emulation
@pytest.mark.parametrize("program", ["agreement_of_kernels", "agreement_of_layers"])
def test_neon_agrees_with_the_plain_kernels(program: str, tutorial: Path, tmp_path: Path) -> None:
    """In the build of the tutorial, which holds what it asserts of its scores itself."""
    objects = sorted((tutorial / "pi/CMakeFiles/sub8_core.dir").rglob("*.o"))
    options = [*OPTIONS, *defines("aarch64"), "-DSUB8_ONE_THREAD", "-static"]
    command = [CROSS_COMPILER, *options, str(HERE / f"{program}.cpp"), *map(str, objects)]
    binary = tmp_path / program
    subprocess.run([*command, "-o", str(binary)], check=True)
    assert EMULATOR is not None
    assert "neon" in run([EMULATOR, "-cpu", "max", str(binary)])
