"""Cycles of a kernel's loops on CPUs that are not at hand, as llvm-mca estimates them.

    python benchmarks/kernels/throughput.py avx512vnni/s16_s16_wide16_12x32 'tiles<12' znver4

Compiles ``src/sub8/native/kernels/<path>.cpp`` as the package does and prints, for every loop of
the functions whose name holds the second argument, its vector instructions and the cycles that one
pass takes where all it reads lies in the first-level cache; an outer loop counts each inner one
once.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

PROJECT = Path(__file__).parents[2]
NATIVE = PROJECT / "src" / "sub8" / "native"
LINE = re.compile(r"^\s*([0-9a-f]+):\t(.*?)(?:\s+[#<].*)?$")

Code = list[tuple[int, str]]


def flags(isa: str) -> list[str]:
    """What native/isa.inc says."""
    found = re.search(rf'\nSUB8_ISA\({isa}, \w+,\s*"([^"]*)"', (NATIVE / "isa.inc").read_text())
    if found is None:
        sys.exit(f"native/isa.inc has no {isa}")
    return found[1].split()


def functions(kernel: str) -> dict[str, Code]:
    """Name and (address, instruction) of every function of a kernel's file."""
    isa = kernel.split("/")[0]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "kernel.o"
        options = ["-std=c++17", "-O3", "-DNDEBUG", "-fPIC", "-ffp-contract=off", f"-I{NATIVE}"]
        source = NATIVE / "kernels" / f"{kernel}.cpp"
        defined = [f"-DSUB8_WITH_{isa}=1", "-falign-functions=64"]
        command = ["g++", *options, *defined, *flags(isa), "-c", str(source), "-o", str(made)]
        subprocess.run(command, check=True)
        command = ["objdump", "-d", "--no-show-raw-insn", "-C", str(made)]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = {}
    for block in text.split("\n\n"):
        head = re.match(r"\s*[0-9a-f]+ <(.*)>:\n", block)
        if head:
            matches = (LINE.match(line) for line in block.splitlines()[1:])
            found[head[1]] = [(int(m[1], 16), m[2]) for m in matches if m]
    return found


def loops(code: Code) -> list[Code]:
    """What lies between the target of a jump backwards and the last such jump to it."""
    ends: dict[int, int] = {}
    for address, text in code:
        target = re.match(r"j\w+\s+([0-9a-f]+)$", text)
        if target and int(target[1], 16) <= address:
            ends[int(target[1], 16)] = address
    return [[(a, t) for a, t in code if start <= a <= end] for start, end in ends.items()]


def cycles(loop: Code, cpu: str) -> float:
    """Of one pass."""
    mca = shutil.which("llvm-mca-19") or shutil.which("llvm-mca")
    if mca is None:
        sys.exit("needs llvm-mca: apt-get install llvm-19")
    lines = [re.sub(r"^(j\w+)\s.*", r"\1 1b", text) for _, text in loop]
    source = "\n".join(["1:", *lines, ""])
    command = [
        mca,
        f"-mcpu={cpu}",
        "-iterations=200",
        "-instruction-info=0",
        "-resource-pressure=0",
    ]
    done = subprocess.run(command, input=source, capture_output=True, text=True)
    total = re.search(r"Total Cycles:\s+(\d+)", done.stdout)
    if total is None:
        sys.exit(done.stderr)
    return int(total[1]) / 200


def main() -> None:
    kernel, name, *cpus = sys.argv[1:]
    for function, code in functions(kernel).items():
        if name not in function:
            continue
        print(function)
        for loop in loops(code):
            counts = Counter(text.replace("{vex} ", "").split()[0] for _, text in loop)
            vectors = sum(n for mnemonic, n in counts.items() if mnemonic.startswith("v"))
            products = sum(n for mnemonic, n in counts.items() if mnemonic.startswith("vpdp"))
            times = ", ".join(f"{cpu} {cycles(loop, cpu):.1f}" for cpu in cpus)
            print(
                f"  {loop[0][0]:x}: {len(loop)} instructions, {vectors} of vectors, "
                f"{products} dot products; cycles: {times}"
            )


if __name__ == "__main__":
    main()
