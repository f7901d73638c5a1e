"""The machine: its processor's name, and the processors that this process may use."""

import os
import platform
from numbers import Integral
from pathlib import Path

from sub8.errors import InputError

MOST_THREADS = 256  # oneTBB keeps no more


def available_processors() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def thread_count(threads: int | None) -> int:
    """``threads``, or the processors that this process may use. Raises InputError for all but 1 to
    256.
    """
    if threads is None:
        return min(available_processors(), MOST_THREADS)
    whole = isinstance(threads, Integral) and not isinstance(threads, bool)
    if not whole or not 1 <= threads <= MOST_THREADS:
        raise InputError(f"threads {threads!r} must be a whole number from 1 to {MOST_THREADS}")
    return int(threads)


# Of instruction sets that the kernels use, as Linux names them.
_FEATURES = (
    *("avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "amx_int8"),
    *("asimd", "asimddp", "i8mm"),
)


def cpu_features() -> tuple[str, ...]:
    """Those of the processor's features that kernels use; none where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return ()
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            found = set(value.split())
            return tuple(name for name in _FEATURES if name in found)
    return ()


def processor_name() -> str:
    """The processor's model name, else its architecture."""
    return _model_name() or platform.processor() or platform.machine()


def _model_name() -> str:
    import subprocess  # takes long, and sessions need it not

    try:
        if platform.system() == "Darwin":
            command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(
                command, capture_output=True, text=True, check=True
            ).stdout.strip()
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except (OSError, subprocess.CalledProcessError):
        pass  # a platform that does not say
    return ""
