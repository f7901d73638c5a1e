#!/usr/bin/env bash
# Build and install oneTBB from its source, for images whose packages are older than oneTBB.
set -euo pipefail
version="${TBB_VERSION:-2022.3.0}"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
curl -fsSL "https://github.com/uxlfoundation/oneTBB/archive/refs/tags/v$version.tar.gz" |
    tar -xz -C "$folder" --strip-components=1
cmake -S "$folder" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release -DTBB_TEST=OFF
cmake --build "$folder/build" --parallel "$(nproc)"
cmake --install "$folder/build"
ldconfig
