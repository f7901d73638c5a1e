"""The inner loops of the tile kernels keep their sums in registers: no stores, no copies between
registers.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from instruction_sets import ISAS, NATIVE, built_object


@dataclass(frozen=True)
class Source:
    """A file of kernels/<isa>/, kernels in it, and the instruction that their hot loops multiply
    with.
    """

    path: str
    kernels: tuple[str, ...]
    multiply: str


DOT = ("dot<6>", "dotruns<6>", "dotruns_short<6>")
SOURCES = [
    Source("avx2/u8_s8_runs16_6x16.cpp", ("runs16<6>", "runs16<5>", "runs16<4>"), "vpmaddubsw"),
    Source("avx2/u8_s8_runs16_short_3x16.cpp", ("runs16_short<3>",), "vpmaddubsw"),
    Source("avx2/u8_s8_runs16_two_4x16.cpp", ("runs16_two<4>", "runs16_two<3>"), "vpmaddubsw"),
    Source("avx2/s16_s16_wide16_6x16.cpp", ("wide16<6>", "wide16<5>", "wide16<4>"), "vpmaddwd"),
    Source("avxvnni/u8_s8_dot_6x16.cpp", DOT, "vpdpbusd"),
    Source("avxvnni/s16_s16_wide16_6x16.cpp", ("wide16<6>", "wide16<5>"), "vpdpwssd"),
    Source(
        "avx512vnni/u8_s8_dot_12x32.cpp",
        ("dot<12>", "dot<11>", "dotruns<12>", "dotruns_short<6>"),
        "vpdpbusd",
    ),
    Source("avx512vnni/s16_s16_wide16_12x32.cpp", ("wide16<12>", "wide16<8>"), "vpdpwssd"),
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


def compiled(path: str, folder: Path) -> dict[str, Code]:
    """The functions of a kernel file: what was built, or as the package builds it."""
    source = NATIVE / "kernels" / path
    made = built_object(source)
    if made is not None:
        return dict(functions(made))
    target = folder / "kernel.o"
    options = ["-std=c++17", "-O3", "-DNDEBUG", "-fPIC", "-ffp-contract=off", f"-I{NATIVE}"]
    options += ISAS[path.split("/")[0]].flags
    built = subprocess.run(
        ["g++", *options, "-c", str(source), "-o", str(target)], capture_output=True, text=True
    )
    if built.returncode != 0 and "unrecognized" in built.stderr:
        pytest.skip("this compiler does not know the instruction set")
    assert built.returncode == 0, built.stderr
    return dict(functions(target))


@needs_compiler
@pytest.mark.parametrize(
    ("path", "kernel"),
    [
        ("u8_w2_runs16_1x16.cpp", "row2"),
        ("u8_w4_runs16_1x16.cpp", "row4"),
        ("s16_w8_wide16_1x16.cpp", "row8"),
    ],
)
def test_row_kernels_spill_nothing(path: str, kernel: str, tmp_path: Path) -> None:
    code = compiled(f"avx2/{path}", tmp_path)
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
    code = compiled(source.path, tmp_path)
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
