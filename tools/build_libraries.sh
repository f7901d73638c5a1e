#!/usr/bin/env bash
# Build and install oneTBB and FlatBuffers from their sources, for images whose packages are older.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

install_from() { # name, address, options of cmake
    mkdir "$folder/$1"
    curl -fsSL "$2" | tar -xz -C "$folder/$1" --strip-components=1
    cmake -S "$folder/$1" -B "$folder/$1/build" -DCMAKE_BUILD_TYPE=Release "$3"
    cmake --build "$folder/$1/build" --parallel "$(nproc)"
    cmake --install "$folder/$1/build"
}

install_from tbb "https://github.com/uxlfoundation/oneTBB/archive/refs/tags/v2022.3.0.tar.gz" -DTBB_TEST=OFF
install_from flatbuffers "https://github.com/google/flatbuffers/archive/refs/tags/v25.12.19.tar.gz" \
    -DFLATBUFFERS_BUILD_TESTS=OFF
ldconfig
