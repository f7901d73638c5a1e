#!/usr/bin/env bash
# From a fresh clone to a working .venv: system packages (Debian, Ubuntu), then sub8 with the extras in $1 (default: dev).
set -euo pipefail
cd "$(dirname "$0")/.."
if command -v apt-get >/dev/null; then
    as_root=""
    if [ "$(id -u)" -ne 0 ]; then as_root=sudo; fi
    $as_root apt-get update -q
    $as_root apt-get install -y -q g++ libtbb-dev python3-dev python3-venv
fi
python3 -m venv .venv
.venv/bin/pip install --quiet ".[${1:-dev}]"
.venv/bin/sub8 doctor
