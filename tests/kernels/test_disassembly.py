"""The inner loops of the tile kernels keep their sums in registers: no stores, no copies between registers."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[2] / "src" / "sub8" / "native"
AVX2 = ("-mavx2", "-mfma")
AVX512 = (*AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni")


@dataclass(frozen=True)
class Source:
    path: str
    flags: tuple[str, ...]
    kernels: tuple[str, ...]
    multiply: str


SOURCES = [
    Source(
        "avx2/runs16.cpp",
        AVX2,
        ("runs16<6>", "runs16<5>", "runs16<4>", "runs16_short<3>"),
        "vpmaddubsw",
    ),
    Source("avx2/runs16_two.cpp", AVX2, ("runs16_two<4>", "runs16_two<3>"), "vpmaddubsw"),
    Source("avx2/wide16.cpp", AVX2, ("wide16<6>", "wide16<5>", "wide16<4>"), "vpmaddwd"),
    Source(
        "avxvnni/dot.cpp",
        (*AVX2, "-mavxvnni"),
        ("dot<6>", "dotruns<6, true>", "dotruns<6, false>"),
        "vpdpbusd",
    ),
    Source(
        "avx512vnni/dot.cpp",
        AVX512,
        ("dot<6>", "dotruns<6, true>", "dotruns<6, false>"),
        "vpdpbusd",
    ),
]

LINE = re.compile(r"^\s*([0-9a-f]+):\t(?:\{vex\} )?(\S+)\s*(.*?)(?:\s+#.*)?$")
VECTOR = re.compile(r"%[xyz]mm\d+")


Code = list[tuple[int, str, str]]


def functions(path: Path) -> Iterator[tuple[str, Code]]:
    """Name and (address, mnemonic, operands) of every function of an object file."""
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", "-C", str(path)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for block in text.split("\n\n"):
        head = re.match(r"\s*[0-9a-f]+ <(.*)>:\n", block)
        if head:
            matches = (LINE.match(line) for line in block.splitlines()[1:])
            yield head[1], [(int(m[1], 16), m[2], m[3]) for m in matches if m]


def inner_loops(code: Code) -> Iterator[list[tuple[str, str]]]:
    """Bodies of the loops that hold no other loop."""
    spans = []
    for address, mnemonic, operands in code:
        target = re.match(r"([0-9a-f]+) <", operands)
        if mnemonic.startswith("j") and target and int(target[1], 16) <= address:
            spans.append((int(target[1], 16), address))
    for start, end in spans:
        if not any(
            start <= other[0] and other[1] <= end and other != (start, end) for other in spans
        ):
            yield [
                (mnemonic, operands)
                for address, mnemonic, operands in code
                if start <= address <= end
            ]


needs_compiler = pytest.mark.skipif(
    not (shutil.which("g++") and shutil.which("objdump")),
    reason="needs g++ and objdump to look at the kernels",
)


def compiled(path: str, flags: tuple[str, ...], folder: Path) -> dict[str, Code]:
    """The functions of a kernel file, built as the package builds it."""
    target = folder / "kernel.o"
    options = ["-std=c++17", "-O3", "-DNDEBUG", "-fPIC", "-ffp-contract=off", f"-I{NATIVE}", *flags]
    source = str(NATIVE / "kernels" / path)
    built = subprocess.run(
        ["g++", *options, "-c", source, "-o", str(target)], capture_output=True, text=True
    )
    if built.returncode != 0 and "unrecognized" in built.stderr:
        pytest.skip("this compiler does not know the instruction set")
    assert built.returncode == 0, built.stderr
    return dict(functions(target))


@needs_compiler
@pytest.mark.parametrize("kernel", ["row2", "row4", "row8"])
def test_row_kernels_spill_nothing(kernel: str, tmp_path: Path) -> None:
    code = compiled("avx2/rows.cpp", AVX2, tmp_path)
    body = next(body for name, body in code.items() if f"::{kernel}(" in name)
    spills = [
        f"{mnemonic} {operands}"
        for _, mnemonic, operands in body
        if mnemonic.startswith("v") and re.search(r"\(%r[sb]p\)$", operands)
    ]
    assert any(mnemonic.startswith("vpmadd") for _, mnemonic, _ in body)
    assert not spills


@needs_compiler
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.path)
def test_inner_loops_hold_no_store_and_no_copy(source: Source, tmp_path: Path) -> None:
    code = compiled(source.path, source.flags, tmp_path)
    for kernel in source.kernels:
        body = next(body for name, body in code.items() if f"::{kernel}(" in name)
        hot = [
            loop
            for loop in inner_loops(body)
            if any(mnemonic == source.multiply for mnemonic, _ in loop)
        ]
        assert hot, f"{kernel}: no inner loop multiplies"
        for loop in hot:
            for mnemonic, operands in loop:
                stores = mnemonic.startswith("v") and operands.endswith(")")
                copies = mnemonic.startswith("vmov") and len(VECTOR.findall(operands)) == 2
                assert not stores and not copies, (
                    f"{kernel}: {mnemonic} {operands} in the inner loop"
                )
