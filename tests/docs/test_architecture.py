"""The table of rooms is what the imports are."""

from pathlib import Path

import grimp
import pytest
from grimp import ImportGraph
from tools.architecture_contract import complaints, read_rows

PROJECT = Path(__file__).resolve().parents[2]
TABLE = """
| room | job | may import |
|---|---|---|
| `errors.py` | errors | – |
| `numerics` | arithmetic | – |
| `engine`, `session.py` | runs | numerics |
| `verbs` | verbs | all above |
| `__init__.py` | names | all above |
"""


def graph(*imports: tuple[str, str]) -> ImportGraph:
    made = ImportGraph()
    made.add_module("p")
    for name in ("errors", "numerics", "numerics.a", "engine", "engine.b", "session", "verbs"):
        made.add_module(f"p.{name}")
    for importer, imported in imports:
        made.add_import(importer=importer, imported=imported)
    return made


def test_imports_are_as_the_document_says() -> None:
    rows = read_rows((PROJECT / "docs/architecture.md").read_text("utf-8"))
    assert list(complaints(rows, "sub8", grimp.build_graph("sub8", cache_dir=None))) == []


def test_allowed_imports_pass() -> None:
    allowed = graph(
        ("p.engine.b", "p.numerics.a"),
        ("p.engine.b", "p.session"),
        ("p.numerics", "p.errors"),
        ("p.verbs", "p.engine"),
        ("p", "p.verbs"),
    )
    assert list(complaints(read_rows(TABLE), "p", allowed)) == []


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("p.numerics.a", "p.engine.b"),
        ("p.engine", "p.verbs"),
        ("p.session", "p"),
        ("p.errors", "p.numerics"),
    ],
)
def test_other_imports_are_told(importer: str, imported: str) -> None:
    found = complaints(read_rows(TABLE), "p", graph((importer, imported)))
    assert list(found) == [f"{importer} imports {imported}"]


def test_a_module_without_a_row_and_a_row_without_a_module_are_told() -> None:
    made = graph()
    made.add_module("p.utils")
    rows = read_rows(TABLE.replace("`numerics`", "`numerics`, `gone.py`"))
    assert list(complaints(rows, "p", made)) == [
        "utils has no row",
        "gone has a row, but there is no such module",
    ]


def test_a_row_imports_rooms_of_rows_above_it_only() -> None:
    rows = read_rows(TABLE.replace("| arithmetic | – |", "| arithmetic | engine |"))
    assert list(complaints(rows, "p", graph())) == [
        "row of numerics: 'engine' is no room of a row above it"
    ]
