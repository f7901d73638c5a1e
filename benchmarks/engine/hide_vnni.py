"""Runs the runtimes as on a CPU that ends at AVX2, whatever the CPU at hand has beyond it. Linux on
x86-64.

Runtimes choose their kernels by the CPUID instruction. Copies of their packages are made in which
CPUID is replaced by UD2, an instruction of the same length that traps; a preloaded handler
(``hide_vnni.c``) executes the real CPUID there and clears the bits of AVX-512, VNNI, AMX and every
newer vector extension from the answer. (CPUID faulting would need no copies, but few virtual
machines offer it.)"""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

PEERS = ("onnxruntime", "openvino")
CPUID, UD2 = b"\x0f\xa2", b"\x0f\x0b"


def environment(cache: Path) -> dict[str, str]:
    """Variables for a worker's process. Needs the system's C compiler and binutils; the peers'
    copies (a minute) are made once, sub8's anew each time."""
    folder = (cache / "ends-at-avx2").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    handler = folder / "hide_vnni.so"
    source = Path(__file__).with_name("hide_vnni.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", str(source), "-o", str(handler)], check=True)
    for peer in PEERS:
        if not (folder / peer).exists():
            _copy(peer, folder)
    _copy("sub8", folder)
    search = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"LD_PRELOAD": str(handler), "PYTHONPATH": os.pathsep.join(search)}


def _copy(name: str, folder: Path) -> None:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{name} is not installed; see requirements.txt")
    unfinished = folder / f"{name}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(Path(spec.origin).parent, unfinished, copy_function=shutil.copyfile)
    libraries = [path for path in unfinished.rglob("*.so*") if path.is_file()]
    if sum(_trap_cpuid(library) for library in libraries) == 0:
        raise RuntimeError(
            f"{name}: no CPUID instruction found, so nothing would be hidden from it"
        )
    shutil.rmtree(folder / name, ignore_errors=True)
    unfinished.rename(folder / name)


def _trap_cpuid(library: Path) -> int:
    """Replace every CPUID of a shared library; their number."""
    listing = _output("objdump", "-d", "--no-show-raw-insn", str(library))
    addresses = [int(hit, 16) for hit in re.findall(r"^\s*([0-9a-f]+):\s+cpuid", listing, re.M)]
    if not addresses:
        return 0
    headers = _output("readelf", "-lW", str(library))
    segments = [
        tuple(int(number, 16) for number in hit)
        for hit in re.findall(r"LOAD\s+(\w+) (\w+) \w+ (\w+) ", headers)
    ]
    code = bytearray(library.read_bytes())
    for address in addresses:
        offset = next(o + address - a for o, a, size in segments if a <= address < a + size)
        assert code[offset : offset + 2] == CPUID, f"{library.name}: no CPUID at {address:#x}"
        code[offset : offset + 2] = UD2
    library.write_bytes(code)
    return len(addresses)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
