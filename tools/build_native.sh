#!/usr/bin/env bash
# Build the native module in place (src/sub8/native/_core*.so) for the Python in $PYTHON (default: python).
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(command -v "${PYTHON:-python}")
PATH="$(dirname "$python"):$PATH"  # a virtual environment's own cmake and ninja come first
build=build/in-place
cmake -S . -B "$build" -G Ninja -DPython_EXECUTABLE="$python" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_LIBRARY_OUTPUT_DIRECTORY="$PWD/src/sub8/native" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >/dev/null
cmake --build "$build" --parallel 2
PYTHONPATH=src "$python" -m nanobind.stubgen -q -m sub8.native._core -o src/sub8/native/_core.pyi
