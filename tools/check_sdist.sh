#!/usr/bin/env bash
# The source distribution in a clean environment of every Python given (paths or commands; default: python3):
#     tools/check_sdist.sh ~/.pyenv/versions/3.1[1-4].*/bin/python
# It is built, imported, run and uninstalled, and may leave nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- python3
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"$1" -m venv "$place/build" && "$place/build/bin/pip" install --quiet build
"$place/build/bin/python" -m build --sdist --outdir "$place/dist" >/dev/null
unset PYTHONPATH
for python in "$@"; do
    environment=$place/$("$python" -c 'import platform; print(platform.python_version())')
    "$python" -m venv "$environment"
    "$environment/bin/pip" install --quiet "$place"/dist/*.tar.gz
    (cd "$environment" && bin/python "$OLDPWD/tools/check_wheel.py" && bin/sub8 --version && bin/sub8 doctor)
    "$environment/bin/pip" uninstall --quiet --yes sub8
    left=$(find "$environment" -iname "*sub8*")
    [ -z "$left" ] || { echo "left behind: $left"; exit 1; }
    echo "$("$python" --version): right"
done
