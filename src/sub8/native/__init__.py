"""The C++ core: plan executor and micro-kernels, one folder per instruction set, chosen at run
time.
"""

try:
    from sub8.native import _core as _core
except ImportError as error:
    if "tbb" not in str(error):
        raise
    raise ImportError(
        "sub8's native core needs oneTBB, which is not installed (Debian, Ubuntu: apt-get install "
        "libtbb12; Fedora: dnf install tbb; macOS: brew install tbb)"
    ) from error
