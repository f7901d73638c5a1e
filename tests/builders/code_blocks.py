"""The code in a Markdown document, and the commands of its shell blocks."""

import re
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    *sorted((PROJECT / "docs").rglob("*.md")),
]


def blocks(document: Path) -> Iterator[tuple[str, str]]:
    """Fenced code with its language, and indented code, which is ``shell``."""
    text = document.read_text("utf-8")
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```", text, re.S | re.M):
        yield language, code
    without = re.sub(r"^```.*?^```\n", "", text, flags=re.S | re.M)
    for code in re.findall(r"(?:^    .*\n)+", without, re.M):
        # Six and more: the code of a list's entry.
        yield "cpp" if code.startswith("     ") else "shell", re.sub("^    ", "", code, flags=re.M)


def commands(document: Path) -> list[str]:
    """The commands of the shell blocks in order, those that go on joined, without comments."""
    found = []
    for language, code in blocks(document):
        if language != "shell":
            continue
        for line in re.sub(r"\\\n\s*", "", code).splitlines():
            parts = re.sub(r"(^|\s+)#.*", "", line).split(" && ")
            found += [part.strip() for part in parts if part.strip()]
    return found
