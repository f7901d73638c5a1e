"""The file of finished points: one JSON object a line, appended as each point finishes."""

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def load(path: Path) -> list[Row]:
    """All whole lines; what a kill left of the last one is passed over."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text("utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def append(path: Path, row: Row) -> None:
    """Add a line, on a line of its own even where a kill left a part of one before it."""
    torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * torn + json.dumps(row) + "\n")


def find(rows: list[Row], asked: Row) -> Row | None:
    """The latest answer to exactly this question, or None."""
    return next((row for row in reversed(rows) if row["question"] == asked), None)
